//! The task that keeps one subscription going for as long as its owner lives.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use reader_core::{Fate, Progress, Reader, Start, State, Step, Verdict};
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;
use wire::error::Error;
use wire::head::{Head, position_of};

use crate::connection::{Connection, read};
use crate::requests::{Direction, From, Read, subscribe};

/// A batch is closed at this size, so that what one event keeps alive stays small.
const BATCH_EVENTS: usize = 250;
const BATCH_BYTES: usize = 64 * 1024;
/// A server that has taken a subscription says so at once.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Events in the form in which they came, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// One `ReadResp` with an event each.
    pub events: Vec<Bytes>,
    /// How many bytes that is.
    pub bytes: usize,
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
}

/// What happens to a subscription, besides events.
#[derive(Debug, Clone)]
pub enum Report {
    /// It is reading, or has caught up: true once the events before it are emitted.
    State(State),
    /// The call ended, or could not be made; the next attempt begins after this wait.
    Dropped(Error, Duration),
    /// It is over, as asking again would get the same answer.
    Stopped(Error),
}

/// Where a subscription's events go.
pub trait Sink: Send + Sync + 'static {
    /// Takes a batch, whether or not there is room.
    fn put(&self, batch: Batch);
    /// Takes a report, in order with the batches.
    fn report(&self, report: Report);
    /// Takes the counts after each change.
    fn count(&self, counts: Counts);
    /// Waits until there is room for another batch.
    fn room(&self) -> impl Future<Output = ()> + Send;
}

/// Which stream to subscribe to, and from where.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The stream's name.
    pub stream: Bytes,
    /// Where to begin.
    pub from: Start,
    /// Whether links are answered with the events they lead to.
    pub resolve_links: bool,
    /// How long to wait after a failure.
    pub backoff: reader_core::Backoff,
}

/// Keeps the subscription going. Returns when asking again cannot help; else it is cancelled by dropping it.
pub async fn run<S: Sink>(connection: Connection, subscription: Subscription, sink: std::sync::Arc<S>) {
    let reader = Reader::new(subscription.from, subscription.backoff);
    let mut task = Task { connection, subscription, reader, sink, began: Instant::now() };
    loop {
        let Err(error) = task.attempt().await;
        let error = task.connection.named(error);
        match task.reader.ended(may_pass(&error), task.began.elapsed(), fastrand::f64()) {
            Fate::Stop => return task.sink.report(Report::Stopped(error)),
            Fate::Retry(wait) => {
                task.sink.report(Report::Dropped(error, wait));
                sleep(wait).await;
            }
        }
    }
}

/// A subscription outlives more than a call does: a fault of the server, however it is called, may have passed later.
fn may_pass(error: &Error) -> bool {
    error.retryable() || matches!(error, Error::Server { .. })
}

struct Task<S> {
    connection: Connection,
    subscription: Subscription,
    reader: Reader,
    sink: std::sync::Arc<S>,
    began: Instant,
}

/// An attempt ends with an error only: even a clean end of the call is one for a subscription.
enum Never {}

impl<S: Sink> Task<S> {
    async fn attempt(&mut self) -> Result<Never, Error> {
        let channel = self.connection.own().await?;
        let mut step = self.reader.connect();
        let from = loop {
            match step {
                Step::Subscribe(from) => break from,
                Step::LocateEnd => {
                    let end = self.locate_end(channel.clone()).await?;
                    step = self.reader.end_located(end);
                }
            }
        };
        let request = subscribe(&self.subscription.stream, from, self.subscription.resolve_links);
        let opening = async {
            let mut answers = read(channel, self.connection.request(request)).await?;
            let first = next(&mut answers).await?;
            Ok::<_, Error>((answers, first))
        };
        let (answers, first) =
            timeout(CONFIRMATION_TIMEOUT, opening).await.unwrap_or_else(|_| Err(self.silent()))?;
        let mut batch = Batch::default();
        self.take(first, &mut batch)?;
        self.read_on(answers, batch).await
    }

    fn silent(&self) -> Error {
        Error::Unavailable {
            message: format!(
                "it took the subscription and did not confirm it within {} s",
                CONFIRMATION_TIMEOUT.as_secs()
            ),
        }
    }

    /// Takes what has come, passes it on, and waits: for more, or for room.
    async fn read_on(&mut self, mut answers: Streaming<Bytes>, mut batch: Batch) -> Result<Never, Error> {
        loop {
            while batch.events.len() < BATCH_EVENTS && batch.bytes < BATCH_BYTES {
                match next(&mut answers).now_or_never() {
                    Some(answer) => {
                        let taken = answer.and_then(|answer| self.take(answer, &mut batch));
                        if let Err(error) = taken {
                            self.pass_on(&mut batch);
                            return Err(error);
                        }
                    }
                    None => break,
                }
            }
            if batch.events.is_empty() {
                let answer = next(&mut answers).await?;
                self.take(answer, &mut batch)?;
            } else {
                self.pass_on(&mut batch);
                self.sink.room().await;
            }
        }
    }

    fn pass_on(&self, batch: &mut Batch) {
        if !batch.events.is_empty() {
            self.sink.put(std::mem::take(batch));
        }
    }

    fn take(&mut self, answer: Bytes, batch: &mut Batch) -> Result<(), Error> {
        let kind = position_of(&answer).map_err(|error| Error::Protocol {
            message: format!("it sent a message that cannot be decoded: {error}"),
        })?;
        let progress = match kind {
            Head::Event(place) => {
                match self.reader.event(place.revision) {
                    Verdict::Emit => {
                        batch.bytes += answer.len();
                        batch.events.push(answer);
                    }
                    Verdict::Stale => self.count(),
                }
                return Ok(());
            }
            Head::Confirmation => self.reader.confirmed(self.began.elapsed()),
            Head::CaughtUp => self.reader.caught_up(),
            Head::FellBehind => self.reader.fell_behind(),
            Head::Unknown(_) => {
                self.reader.unknown_message();
                Progress::Same
            }
            _ => return Ok(()),
        };
        self.count();
        if let Progress::Changed(state) = progress {
            self.pass_on(batch);
            self.sink.report(Report::State(state));
        }
        Ok(())
    }

    fn count(&self) {
        self.sink.count(Counts {
            reconnects: self.reader.reconnects(),
            stale: self.reader.stale(),
            unknown: self.reader.unknown(),
        });
    }

    async fn locate_end(&self, channel: tonic::transport::Channel) -> Result<Option<u64>, Error> {
        let last = Read {
            stream: self.subscription.stream.clone(),
            from: From::End,
            direction: Direction::Backwards,
            count: 1,
            resolve_links: false,
        };
        let mut answers = read(channel, self.connection.timely(last.request())).await?;
        let mut end = None;
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(Error::from)?;
            match position_of(&answer) {
                Ok(Head::Event(place)) => end = end.max(Some(place.revision)),
                Ok(Head::LastStreamPosition(revision)) => end = end.max(Some(revision)),
                _ => {}
            }
        }
        Ok(end)
    }
}

async fn next(answers: &mut Streaming<Bytes>) -> Result<Bytes, Error> {
    match answers.next().await {
        Some(answer) => answer.map_err(Error::from),
        None => Err(Error::Unavailable { message: "the server ended the subscription".into() }),
    }
}
