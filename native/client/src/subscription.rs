//! The task that keeps one subscription going for as long as its owner lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use reader_core::{Fate, Progress, Reader, Start, Step, Verdict};
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;
use wire::error::{Error, Policy, Which};
use wire::head::{Head, position_of};

use crate::connection::{Connection, Spoken, read};
use crate::locate::{End, Search};
use crate::requests::subscribe;
use crate::road::Channel;
use crate::sink::{Batch, Counts, Report, Sink};

/// A batch is closed at this size, so that what one event keeps alive stays small.
const BATCH_EVENTS: usize = 250;
const BATCH_BYTES: usize = 64 * 1024;
/// A server that has taken a subscription says so at once, and so it does where a stream ends.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Which stream to subscribe to, and from where.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The stream's name.
    pub stream: Bytes,
    /// Where to begin.
    pub from: Start,
    /// Whether links are answered with the events they lead to.
    pub resolve_links: bool,
    /// How large a message may be, in bytes.
    pub max_message_size: u64,
    /// What to do when the stream ends before the position.
    pub on_beyond: OnBeyond,
    /// How long to wait after a failure.
    pub backoff: reader_core::Backoff,
    /// How long the server may take to confirm the subscription, or to say where the stream ends.
    pub patience: Duration,
}

/// What to do when a stream ends before the position that its subscription goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBeyond {
    /// Wait until it has grown past it.
    Wait,
    /// Stop, as what is there is another stream than the one that was read.
    Stop,
}

/// Keeps the subscription going. Returns when asking again cannot help; else it is cancelled by dropping it.
///
/// What is tried again and what is final: see [`Policy`].
pub async fn run<S: Sink>(connection: Connection, subscription: Subscription, sink: Arc<S>) {
    let reader = Reader::new(subscription.from, subscription.backoff);
    let mut task = Task { connection, subscription, reader, sink, began: Instant::now() };
    loop {
        let taken = task.reader.epoch();
        let Err(error) = task.attempt().await;
        let cause = task.connection.named(error);
        let again = Policy::of(&cause).subscription;
        match task.reader.ended(again, task.began.elapsed(), fastrand::f64()) {
            Fate::Stop => return task.sink.report(Report::Stopped(cause)),
            Fate::Retry(wait) => {
                let was_taken = task.reader.epoch() != taken;
                task.sink.report(Report::Dropped { cause, wait, was_taken });
                sleep(wait).await;
            }
        }
    }
}

struct Task<S> {
    connection: Connection,
    subscription: Subscription,
    reader: Reader,
    sink: Arc<S>,
    began: Instant,
}

/// An attempt ends with an error only: even a clean end of the call is one for a subscription.
enum Never {}

impl<S: Sink> Task<S> {
    async fn attempt(&mut self) -> Result<Never, Error> {
        self.sink.report(Report::Connecting);
        let channel = self.connection.own().await?;
        let mut step = self.reader.connect();
        let from = loop {
            match step {
                Step::Subscribe(from) => break from,
                Step::LocateEnd => {
                    let end = self.search(&channel).end().await?.revision();
                    self.sink.report(Report::Located(end));
                    step = self.reader.end_located(end);
                }
            }
        };
        let Subscription { stream, resolve_links, max_message_size, patience, .. } = &self.subscription;
        let request = self.connection.request(subscribe(stream, from, *resolve_links));
        let opening = async {
            let mut answers = read(channel.clone(), request, *max_message_size).await?;
            let first = self.next(&mut answers).await?;
            Ok::<_, Error>((answers, first))
        };
        let (answers, first) = timeout(*patience, opening).await.unwrap_or_else(|_| Err(self.silent()))?;
        let mut batch = Batch::default();
        self.take(first, &mut batch)?;
        self.read_on(answers, batch, &channel).await
    }

    fn search(&self, channel: &Channel) -> Search {
        Search {
            connection: self.connection.clone(),
            channel: channel.clone(),
            stream: self.subscription.stream.clone(),
            limit: self.subscription.max_message_size,
            patience: self.subscription.patience,
        }
    }

    fn silent(&self) -> Error {
        Error::Unavailable {
            message: format!(
                "it took the subscription and did not confirm it within {}",
                Spoken(self.subscription.patience)
            ),
        }
    }

    /// Takes what has come, passes it on, and waits: for more, or for room.
    async fn read_on(
        &mut self,
        mut answers: Streaming<Bytes>,
        mut batch: Batch,
        channel: &Channel,
    ) -> Result<Never, Error> {
        let mut search = Looking::NotYet;
        loop {
            while batch.events.len() < BATCH_EVENTS && batch.bytes < BATCH_BYTES {
                match self.next(&mut answers).now_or_never() {
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
                if matches!(search, Looking::NotYet) && self.reader.awaits_end() {
                    let looking = self.search(channel);
                    search = Looking::For(async move { looking.end_if_not_deleted().await }.boxed());
                }
                tokio::select! {
                    biased;
                    answer = self.next(&mut answers) => self.take(answer?, &mut batch)?,
                    end = search.found() => {
                        search = Looking::Done;
                        self.end_seen(end)?;
                    }
                }
            } else {
                self.pass_on(&mut batch);
                self.sink.room().await;
            }
        }
    }

    /// A search that failed says nothing: it is made again on the next connection.
    fn end_seen(&mut self, end: Result<Option<End>, Error>) -> Result<(), Error> {
        let Ok(Some(end)) = end else { return Ok(()) };
        let beyond = self.reader.end_seen(end.revision());
        self.sink.report(Report::Beyond(beyond));
        match (beyond, self.subscription.on_beyond) {
            (Some(beyond), OnBeyond::Stop) => Err(Error::PositionBeyondEnd {
                stream: String::from_utf8_lossy(&self.subscription.stream).into_owned(),
                position: beyond.position,
                last: beyond.last,
            }),
            _ => Ok(()),
        }
    }

    fn pass_on(&self, batch: &mut Batch) {
        if !batch.events.is_empty() {
            self.sink.put(std::mem::take(batch));
        }
    }

    fn take(&mut self, answer: Bytes, batch: &mut Batch) -> Result<(), Error> {
        let kind = position_of(&answer)
            .map_err(|error| Error::Undecodable { what: self.which(), message: error.to_string() })?;
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
            Head::Confirmation => {
                let progress = self.reader.confirmed(self.began.elapsed());
                let (epoch, after) = (self.reader.epoch(), self.reader.last());
                self.sink.report(Report::Taken { epoch, after });
                progress
            }
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
            self.sink.report(Report::State(self.reader.epoch(), state));
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

    async fn next(&self, answers: &mut Streaming<Bytes>) -> Result<Bytes, Error> {
        match answers.next().await {
            Some(answer) => answer.map_err(|status| Error::from(status).at(self.which())),
            None => Err(Error::Unavailable { message: "the server ended the subscription".into() }),
        }
    }

    /// The message that comes next.
    fn which(&self) -> Which {
        Which::after(self.reader.last())
    }
}

/// The search for the stream's end beside a subscription that goes on.
enum Looking {
    NotYet,
    For(BoxFuture<'static, Result<Option<End>, Error>>),
    Done,
}

impl Looking {
    async fn found(&mut self) -> Result<Option<End>, Error> {
        match self {
            Self::For(search) => search.await,
            Self::NotYet | Self::Done => std::future::pending().await,
        }
    }
}
