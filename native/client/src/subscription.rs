//! The task that keeps one subscription going for as long as its owner lives.
//!
//! What is done, when and why is [`reader_core::Reader`]'s to say; here it is carried out.

mod steps;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use reader_core::{
    Answer, Backoff, Cause, Effect, Epoch, Failure, Input, LARGEST, LogPosition, OnBeyond, Place, Position,
    Reader, Settings, Target, Verdict,
};
use tokio::time::Instant;
use tonic::Streaming;
use wire::error::{Error, Policy, Which};
use wire::recorded::{Head, position_of};

use crate::actor::Used;
use crate::calls::read;
use crate::connection::Connection;
use crate::locate::Search;
use crate::node::Node;
use crate::requests::subscribe;
use crate::road::Channel;
use crate::sink::{Batch, Sink};
use crate::spoken::Spoken;
use crate::subscription::steps::{Broken, Came, Done, changed, connect, next};
use crate::waits::{option, time};

/// A batch is closed at this size, so that what one event keeps alive stays small.
const BATCH_EVENTS: usize = 250;
const BATCH_BYTES: usize = 64 * 1024;
/// A server that has taken a subscription says so at once, and so it does where a stream ends.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What to subscribe to, and how.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// What is subscribed to, and from where.
    pub target: Target,
    /// Whether links are answered with the events they lead to.
    pub resolve_links: bool,
    /// How large a message may be, in bytes.
    pub max_message_size: u64,
    /// What to do when the stream ends before the position.
    pub on_beyond: OnBeyond,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// How long the server may take to confirm the subscription, or to say where the stream ends.
    pub patience: Duration,
}

/// Keeps the subscription going. Returns when asking again cannot help; else it is cancelled by dropping it.
///
/// What is tried again and what is final: see [`Policy`].
pub async fn run<S: Sink>(connection: Connection, subscription: Subscription, sink: Arc<S>) {
    let settings = Settings {
        target: subscription.target.clone(),
        on_beyond: subscription.on_beyond,
        backoff: subscription.backoff,
        patience: subscription.patience,
    };
    let mut task = Task {
        node: None,
        used: connection.used(),
        connection,
        subscription,
        reader: Reader::new(settings, fastrand::u64(..)),
        sink,
        began: Instant::now(),
        road: None,
        doing: None,
        search: None,
        answers: None,
        batch: Batch::default(),
        failure: None,
    };
    while let Some(input) = task.next().await {
        let effects = task.reader.handle(input, task.began.elapsed());
        if matches!(input, Input::Answer(..)) {
            task.sink.count(task.reader.counts());
        }
        task.carry_out(effects);
    }
}

struct Task<S> {
    connection: Connection,
    /// The node of this attempt, once there is one.
    node: Option<Arc<Node>>,
    /// The node that everybody uses.
    used: Used,
    subscription: Subscription,
    reader: Reader,
    sink: Arc<S>,
    began: Instant,
    /// The connection of this attempt.
    road: Option<Channel>,
    /// The step that the attempt waits for.
    doing: Option<BoxFuture<'static, Result<Done, Broken>>>,
    /// The search beside the call.
    search: Option<BoxFuture<'static, Answer>>,
    /// The call.
    answers: Option<Streaming<Bytes>>,
    batch: Batch,
    /// The failure that was told last.
    failure: Option<Error>,
}

impl<S: Sink> Task<S> {
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect(_) => {
                    self.node = None;
                    self.doing = Some(connect(self.connection.clone()).boxed());
                }
                Effect::FindEnd(_) if self.answers.is_some() => {
                    self.search =
                        self.searching(|it| async move { searched(it.end().await.map(Answer::Found)) });
                }
                Effect::FindEnd(_) => {
                    self.doing = self.searching(|it| async move { Ok(it.end().await.map(Done::End)?) });
                }
                Effect::FindDeletion(_) => {
                    self.search = self
                        .searching(|it| async move { searched(it.is_deleted().await.map(Answer::Deleted)) });
                }
                Effect::GiveUp(_) => self.search = None,
                Effect::Subscribe(_, target) => self.subscribe(&target),
                Effect::Close(_) => {
                    (self.road, self.doing, self.search, self.answers) = (None, None, None, None);
                }
                Effect::Report(report) => {
                    self.pass_on();
                    let report = report.map(|cause| self.error(cause));
                    self.sink.report(report);
                }
            }
        }
    }

    fn searching<F: Future + Send + 'static>(
        &self,
        search: impl FnOnce(Search) -> F,
    ) -> Option<BoxFuture<'static, F::Output>> {
        let Subscription { target, max_message_size, patience, .. } = &self.subscription;
        let connection = self.connection.clone();
        let search = self.road.clone().map(|channel| {
            let (target, limit, patience) = (target.clone(), *max_message_size, *patience);
            search(Search { connection, channel, target, limit, patience })
        });
        search.map(FutureExt::boxed)
    }

    fn subscribe(&mut self, target: &Target) {
        let Subscription { resolve_links, max_message_size, .. } = self.subscription;
        let request = self.connection.request(subscribe(target, resolve_links));
        self.doing = self.road.clone().map(|channel| {
            async move { Ok(read(channel, request, max_message_size).await.map(Done::Answers)?) }.boxed()
        });
    }

    /// What happens next; `None` when nothing will, as the subscription is over.
    async fn next(&mut self) -> Option<Input> {
        loop {
            if let Some(input) = self.take_what_is_at_hand() {
                return Some(input);
            }
            if !self.batch.events.is_empty() {
                self.pass_on();
                self.sink.room().await;
                // a stream that has always more would hide it
                if self.used.has_changed().unwrap_or(false)
                    && let Some(answer) = self.moves()
                {
                    return Some(self.answer(answer));
                }
                continue;
            }
            let until = self.reader.poll_timeout();
            if until.is_none() && self.doing.is_none() && self.answers.is_none() {
                return None;
            }
            let came = tokio::select! {
                biased;
                done = option(&mut self.doing) => Came::Done(done),
                message = next(&mut self.answers) => Came::Message(message),
                answer = option(&mut self.search) => Came::Searched(answer),
                () = changed(&mut self.used) => Came::Moved,
                () = time(until.map(|until| self.began + until)) => Came::Time,
            };
            let input = match came {
                Came::Done(done) => self.done(done),
                Came::Message(message) => self.message(message),
                Came::Searched(answer) => {
                    self.search = None;
                    Some(answer)
                }
                Came::Moved => self.moves(),
                Came::Time => return Some(Input::Tick),
            };
            if let Some(answer) = input {
                return Some(self.answer(answer));
            }
        }
    }

    fn answer(&self, answer: Answer) -> Input {
        Input::Answer(self.epoch(), answer)
    }

    /// Whatever is under way belongs to the attempt that stands: it is let go of with it.
    fn epoch(&self) -> Epoch {
        self.reader.epoch()
    }

    /// Goes where everybody is, if it has to: where only the leader will do, or its node does not serve as is wished.
    fn moves(&mut self) -> Option<Answer> {
        let used = self.used.borrow_and_update().clone()?;
        let node = self.node.clone().filter(|node| !Arc::ptr_eq(node, &used))?;
        if !self.connection.wants_leader() && !node.is_unfit() {
            return None;
        }
        self.failure = Some(if self.connection.wants_leader() {
            used.leads()
        } else {
            let message =
                format!("{} serves no longer as is wished; {} is used", node.address(), used.address());
            Error::Unavailable { message }
        });
        Some(Answer::Ended(Failure::Moved))
    }

    fn done(&mut self, done: Result<Done, Broken>) -> Option<Answer> {
        self.doing = None;
        match done {
            Ok(Done::Road(node, channel)) => {
                // what changed while it was connected to is seen next
                self.node = Some(node);
                self.used.mark_changed();
                self.road = Some(channel);
                Some(Answer::Connected)
            }
            Ok(Done::End(end)) => Some(Answer::Found(end)),
            Ok(Done::Answers(answers)) => {
                self.answers = Some(answers);
                None
            }
            Err(Broken { error, is_told: true }) => Some(self.ended(error)),
            Err(Broken { error, is_told: false }) => Some(self.failed(error)),
        }
    }

    /// Takes messages until there are enough for a batch, one says more than an event, or none is left.
    fn take_what_is_at_hand(&mut self) -> Option<Input> {
        while self.batch.events.len() < BATCH_EVENTS && self.batch.bytes < BATCH_BYTES {
            let message = self.answers.as_mut()?.next().now_or_never()?;
            if let Some(answer) = self.message(message) {
                return Some(self.answer(answer));
            }
        }
        None
    }

    /// What a message of the call says; `None` for an event.
    fn message(&mut self, message: Option<Result<Bytes, tonic::Status>>) -> Option<Answer> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(status)) => return Some(self.failed(Error::from(status).at(self.which()))),
            None => {
                let ended = Error::Unavailable { message: "the server ended the subscription".into() };
                return Some(self.failed(ended));
            }
        };
        match position_of(&message) {
            Ok(Head::Event(place)) => {
                let log = LogPosition { commit: place.commit, prepare: place.prepare };
                let place = Place { revision: place.revision, log };
                match self.reader.event(self.epoch(), place) {
                    Verdict::Emit => {
                        self.batch.bytes += message.len();
                        self.batch.events.push(message);
                    }
                    Verdict::Stale | Verdict::Late => self.sink.count(self.reader.counts()),
                    Verdict::Impossible => {
                        let effects = self.reader.impossible(self.epoch(), place);
                        self.carry_out(effects);
                    }
                }
                None
            }
            Ok(Head::Confirmation(_)) => Some(Answer::Confirmed),
            Ok(Head::CaughtUp) => Some(Answer::CaughtUp),
            Ok(Head::FellBehind) => Some(Answer::FellBehind),
            Ok(Head::Checkpoint { commit, prepare }) => {
                Some(Answer::Checkpoint(LogPosition { commit, prepare }))
            }
            // what belongs to reads, and what is new
            Ok(
                Head::StreamNotFound
                | Head::FirstStreamPosition(_)
                | Head::LastStreamPosition(_)
                | Head::LastAllPosition { .. }
                | Head::Unknown(_),
            ) => Some(Answer::Unknown),
            Err(error) => {
                let error = Error::Undecodable { what: self.which(), message: error.to_string() };
                Some(self.failed(error))
            }
        }
    }

    /// The message that comes next.
    fn which(&self) -> Which {
        match self.reader.last() {
            None => Which::First,
            Some(Position::Revision(revision)) => Which::After(revision),
            Some(Position::Log(LogPosition { commit, prepare })) => Which::AfterLog { commit, prepare },
        }
    }

    fn failed(&mut self, error: Error) -> Answer {
        let error = match &self.node {
            Some(node) => self.connection.failed(node, error),
            None => error,
        };
        self.ended(error)
    }

    fn ended(&mut self, error: Error) -> Answer {
        let failure = failure(&error);
        self.failure = Some(error);
        Answer::Ended(failure)
    }

    /// What the machine calls the cause of an end, in words.
    fn error(&mut self, cause: Cause) -> Error {
        let patience = Spoken(self.subscription.patience);
        let unavailable = |message| {
            let error = Error::Unavailable { message };
            match &self.node {
                Some(node) => self.connection.failed(node, error),
                None => error,
            }
        };
        match cause {
            Cause::Failure => self
                .failure
                .take()
                .unwrap_or_else(|| Error::Unavailable { message: "for a reason that is not known".into() }),
            Cause::NotConnected => unavailable(format!("it could not be connected to within {patience}")),
            Cause::NotLocated => unavailable(format!(
                "the search for the end of the stream was not answered within {patience}"
            )),
            Cause::NotConfirmed => {
                unavailable(format!("it took the subscription and did not confirm it within {patience}"))
            }
            Cause::BeyondEnd(beyond) => Error::PositionBeyondEnd {
                stream: self.subscription.target.name(),
                position: beyond.position.into_wire(),
                last: beyond.last.map(IntoWire::into_wire),
            },
            Cause::Impossible(position) => Error::Undecodable {
                what: self.which(),
                message: format!("it names {position}, which is beyond {LARGEST}"),
            },
        }
    }

    fn pass_on(&mut self) {
        if !self.batch.events.is_empty() {
            self.sink.put(std::mem::take(&mut self.batch));
        }
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::NotLeader { .. } => Failure::Moved,
        error if Policy::of(error).subscription => Failure::Passing,
        _ => Failure::Final,
    }
}

fn searched(answer: Result<Answer, Error>) -> Answer {
    answer.unwrap_or_else(|error| Answer::NotFound(failure(&error)))
}

/// A position as errors name it.
trait IntoWire {
    fn into_wire(self) -> wire::error::At;
}

impl IntoWire for Position {
    fn into_wire(self) -> wire::error::At {
        match self {
            Self::Revision(revision) => wire::error::At::Revision(revision),
            Self::Log(LogPosition { commit, prepare }) => wire::error::At::Log { commit, prepare },
        }
    }
}
