//! The states of one subscription to one stream.

use std::time::Duration;

use crate::{Backoff, Epoch};

/// Where a subscription begins. Positions are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first event of the stream.
    Beginning,
    /// With the first event appended from now on.
    End,
    /// With the first event after this revision.
    After(u64),
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

/// What the owner of the connection has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Find the revision of the stream's last event and report it with [`Reader::end_located`].
    LocateEnd,
    /// Subscribe from here.
    Subscribe(Start),
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Emit,
    /// It, or a later one, was passed on before: drop it.
    Stale,
}

/// What a message that is not an event has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The state is another one now.
    Changed(State),
    /// Nothing that anybody could see.
    Same,
}

/// What becomes of a subscription whose call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Try again after this wait.
    Retry(Duration),
    /// Asking again cannot help.
    Stop,
}

/// A stream that ends before the position that its subscription goes on from: a server that came back empty, or
/// from an older backup. Nothing comes until the stream has grown past the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond {
    /// The revision that the subscription goes on after.
    pub position: u64,
    /// The revision of the stream's last event; `None` when there is no such stream.
    pub last: Option<u64>,
}

/// What is known of the stream's end, as seen from the position of the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing that matters: there is no position, or an event after it has come.
    Passed,
    /// An event after the position is still to come.
    Awaited,
    /// It was asked for.
    Known(Option<Beyond>),
}

/// One subscription through all its connections.
#[derive(Debug)]
pub struct Reader {
    state: State,
    from: Start,
    last: Option<u64>,
    end: End,
    epoch: Epoch,
    backoff: Backoff,
    failures: u32,
    confirmed_at: Option<Duration>,
    confirmations: u64,
    stale: u64,
    unknown: u64,
}

impl Reader {
    /// A subscription that has not connected yet.
    pub fn new(from: Start, backoff: Backoff) -> Self {
        Self {
            state: State::Connecting,
            from,
            last: match from {
                Start::After(revision) => Some(revision),
                Start::Beginning | Start::End => None,
            },
            end: End::Passed,
            epoch: Epoch::default(),
            backoff,
            failures: 0,
            confirmed_at: None,
            confirmations: 0,
            stale: 0,
            unknown: 0,
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// The revision of the last event passed on, or restored.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Which of its connections it is on: the first one that is confirmed is 1.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many times a subscription was confirmed after the first time.
    pub fn reconnects(&self) -> u64 {
        self.confirmations.saturating_sub(1)
    }

    /// Events dropped because they had been passed on before.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Messages of a kind that is not known.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// How many attempts have failed since the last connection that was healthy.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Begins an attempt.
    ///
    /// The end is located once and is a fixed place from then on: were it asked for anew at every attempt, what is
    /// appended between two attempts would be lost.
    pub fn connect(&mut self) -> Step {
        self.state = State::Connecting;
        self.end = if self.last.is_some() { End::Awaited } else { End::Passed };
        match (self.last, self.from) {
            (Some(revision), _) => Step::Subscribe(Start::After(revision)),
            (None, Start::End) => Step::LocateEnd,
            (None, from) => Step::Subscribe(from),
        }
    }

    /// The end of the stream is at this revision; `None` when the stream has no events.
    pub fn end_located(&mut self, revision: Option<u64>) -> Step {
        self.last = revision;
        if revision.is_none() {
            self.from = Start::Beginning;
        }
        let step = self.connect();
        // where the stream ends is known, as that is where it begins
        self.end = End::Known(None);
        step
    }

    /// The server has taken the subscription.
    pub fn confirmed(&mut self, now: Duration) -> Progress {
        self.confirmed_at = Some(now);
        self.confirmations += 1;
        self.epoch = self.epoch.next();
        self.become_state(State::Reading)
    }

    /// An event of this revision came.
    pub fn event(&mut self, revision: u64) -> Verdict {
        if self.last.is_some_and(|last| revision <= last) {
            self.stale += 1;
            return Verdict::Stale;
        }
        self.last = Some(revision);
        self.end = End::Passed;
        Verdict::Emit
    }

    /// The server has sent all there was. It says so again whenever it had to catch up silently.
    pub fn caught_up(&mut self) -> Progress {
        self.become_state(State::Subscribed)
    }

    /// Whether the stream's end has to be looked for, and its last revision told to [`Reader::end_seen`]: the server
    /// has sent all there is after the position, and that was nothing. It is asked once for each connection, while
    /// that goes on; a subscription that has something to read never asks.
    pub fn awaits_end(&self) -> bool {
        self.state == State::Subscribed && self.end == End::Awaited
    }

    /// The stream's last event has this revision; `None` when there is no such stream.
    ///
    /// Revisions only grow, so a stream that ends before the position after the subscription was made did so before,
    /// too. One that has grown past it meanwhile cannot be told from one that was never shorter.
    pub fn end_seen(&mut self, last: Option<u64>) -> Option<Beyond> {
        let (End::Awaited, Some(position)) = (self.end, self.last) else { return None };
        let beyond = last.is_none_or(|last| last < position).then_some(Beyond { position, last });
        self.end = End::Known(beyond);
        beyond
    }

    /// The server is catching up again.
    pub fn fell_behind(&mut self) -> Progress {
        self.become_state(State::Reading)
    }

    /// A message of a kind that this version does not know: counted, never fatal.
    pub fn unknown_message(&mut self) {
        self.unknown += 1;
    }

    /// The call, or the attempt to make it, has ended.
    pub fn ended(&mut self, retryable: bool, now: Duration, chance: f64) -> Fate {
        if !retryable {
            self.state = State::Stopped;
            return Fate::Stop;
        }
        let lasted = self.confirmed_at.take().map(|since| now.saturating_sub(since));
        if lasted.is_some_and(|lasted| lasted >= self.backoff.healthy_after) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.state = State::BackingOff;
        Fate::Retry(self.backoff.wait(self.failures, chance))
    }

    fn become_state(&mut self, state: State) -> Progress {
        if self.state == state {
            return Progress::Same;
        }
        self.state = state;
        Progress::Changed(state)
    }
}
