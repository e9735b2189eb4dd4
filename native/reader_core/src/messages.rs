//! What a subscription is told, and what it wants done.

use std::time::Duration;

use crate::epoch::Epoch;
use crate::position::{LogPosition, Position};
use crate::target::Target;

/// What happens to a subscription, events aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The time that it waited for has come.
    Tick,
    /// Something answers one of its effects, or comes from the call that one of them made.
    Answer(Epoch, Answer),
}

/// What answers an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To [`Effect::Connect`]: there is a connection.
    Connected,
    /// To [`Effect::FindEnd`]: where the last event is; `None` when there is none.
    Found(Option<Position>),
    /// To [`Effect::FindEnd`] and [`Effect::FindDeletion`]: that could not be found out.
    NotFound(Failure),
    /// To [`Effect::FindDeletion`]: whether the stream is known to be deleted, and to go on where it was.
    Deleted(bool),
    /// The server has taken the subscription.
    Confirmed,
    /// The server has sent all there was. It says so again whenever it had to catch up silently.
    CaughtUp,
    /// The server is catching up again.
    FellBehind,
    /// All events up to this one have been looked at, and those that fit were sent.
    Checkpoint(LogPosition),
    /// A message of a kind that this version does not know, or that no subscription gets: counted, never fatal.
    Unknown,
    /// The connection, or the call, could not be made or has ended.
    Ended(Failure),
}

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may pass.
    Passing,
    /// Another node has to be asked, which is known: at once, unless that is said again and again.
    Moved,
    /// It gets the same answer for ever.
    Final,
}

/// What a subscription wants done. What answers it has to name its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make a connection. Answered with [`Answer::Connected`] or [`Answer::Ended`].
    Connect(Epoch),
    /// Find the last event of the stream, or of the log, whatever the filter. Answered with [`Answer::Found`] or
    /// [`Answer::NotFound`].
    FindEnd(Epoch),
    /// Find out whether the stream was deleted. Answered with [`Answer::Deleted`] or [`Answer::NotFound`].
    FindDeletion(Epoch),
    /// Make the call, read on, and give each event to [`crate::Reader::event`].
    Subscribe(Epoch, Target),
    /// Give up the search that is under way, if there is one.
    GiveUp(Epoch),
    /// Let go of the connection and of everything that is under way on it.
    Close(Epoch),
    /// Tell whoever follows the subscription, after the events that came before.
    Report(Report<Cause>),
}

/// What a subscription is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asking the server for the subscription, for the first time or again.
    Connecting,
    /// Emitting events that were there already.
    Reading,
    /// Emitting events as they are appended.
    Subscribed,
    /// Waiting before the next attempt.
    BackingOff,
    /// Over: the server's answer cannot be changed by asking again.
    Stopped,
}

/// What happens to a subscription, besides events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report<C> {
    /// An attempt to connect begins. True at once.
    Connecting,
    /// The end was found, where it begins; `None` when there is nothing before it. True at once.
    Located(Option<Position>),
    /// The server has taken it, to go on after this position. True at once, until it is dropped.
    Taken {
        /// Which attempt this is.
        epoch: Epoch,
        /// The position; `None` for the beginning.
        after: Option<Position>,
    },
    /// It is reading, or has caught up: true once the events before it are emitted, if its connection still stands.
    State(Epoch, State),
    /// A filter has looked at all events up to here: true once the events before it are emitted, whatever became of the
    /// connection.
    Checkpoint(Epoch, Position),
    /// The stream ends before its position, or, as is known now, does not. True at once.
    Beyond(Option<Beyond>),
    /// The call ended, or could not be made. True at once.
    Dropped {
        /// Why.
        cause: C,
        /// When the next attempt begins.
        wait: Duration,
        /// Whether the server had taken it on this connection.
        was_taken: bool,
    },
    /// It is over, as asking again would get the same answer: true once the events before it are emitted.
    Stopped(C),
}

impl<C> Report<C> {
    /// The same with another form of its cause.
    pub fn map<D>(self, cause: impl FnOnce(C) -> D) -> Report<D> {
        match self {
            Self::Connecting => Report::Connecting,
            Self::Located(end) => Report::Located(end),
            Self::Taken { epoch, after } => Report::Taken { epoch, after },
            Self::State(epoch, state) => Report::State(epoch, state),
            Self::Checkpoint(epoch, position) => Report::Checkpoint(epoch, position),
            Self::Beyond(beyond) => Report::Beyond(beyond),
            Self::Dropped { cause: why, wait, was_taken } => {
                Report::Dropped { cause: cause(why), wait, was_taken }
            }
            Self::Stopped(why) => Report::Stopped(cause(why)),
        }
    }
}

/// Why an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The failure that was told last.
    Failure,
    /// There was no connection in time.
    NotConnected,
    /// The end was not found in time.
    NotLocated,
    /// The server did not confirm the subscription in time.
    NotConfirmed,
    /// What is there ends before the position.
    BeyondEnd(Beyond),
    /// The server named a position that is none.
    Impossible(Position),
}

/// What is subscribed to ends before the position that the subscription goes on from: a server that came back empty, or
/// from an older backup. Nothing comes until it has grown past the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond {
    /// The position that the subscription goes on after.
    pub position: Position,
    /// The position of the last event; `None` when there is none.
    pub last: Option<Position>,
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Emit,
    /// Drop it: it, or a later one, was passed on before.
    Stale,
    /// Drop it: it comes from a call that is over.
    Late,
    /// Drop it: its position is none. The call is over: carry out what [`Reader::impossible`] answers.
    Impossible,
}

/// What a subscription counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many times it was confirmed again.
    pub reconnects: u64,
    /// Events dropped because they had come before.
    pub stale: u64,
    /// Messages of a kind that is not known.
    pub unknown: u64,
    /// Answers and events dropped because their connection, or the step that they answer, was over.
    pub late: u64,
}
