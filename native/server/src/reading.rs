//! Reads that end: pages of events, one after another as the client takes them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_util::Stream;
use store_core::{Direction, Found, PageSize, Pair, StreamPage, StreamRead};
use tonic::Status;
use wire::proto::StreamIdentifier;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::{Content, StreamNotFound};

use crate::calls::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::filter::Filter;
use crate::judge::judge;
use crate::log::{Look, glance};
use crate::messages::{Ids, Message};
use crate::read::{Form, Origin};

/// What is read at once: enough to fill the client's window, little enough to hold for every reader.
pub const PAGE: PageSize = PageSize { events: 256, bytes: 64 * 1024 };

/// The real server's first page; whether it is empty shows in the control messages.
const FIRST_PAGE: u64 = 32;

/// What follows a page.
pub enum Next<S> {
    /// More, from this state.
    More(S),
    /// Nothing.
    End,
    /// An error.
    Fail(Status),
}

type Step<S> = Pin<Box<dyn Future<Output = (Vec<Message>, Next<S>)> + Send>>;

struct Paged<S, F> {
    ready: vec::IntoIter<Message>,
    step: F,
    next: Option<Next<S>>,
    running: Option<Step<S>>,
}

/// Messages, then what `step` makes of the state, again and again.
pub fn paged<S, F>(first: Vec<Message>, state: S, step: F) -> Answers
where
    S: Send + Unpin + 'static,
    F: FnMut(S) -> Step<S> + Send + Unpin + 'static,
{
    Answers::new(Paged { ready: first.into_iter(), step, next: Some(Next::More(state)), running: None })
}

impl<S: Unpin, F: FnMut(S) -> Step<S> + Unpin> Stream for Paged<S, F> {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.ready.next() {
                return Poll::Ready(Some(Ok(message)));
            }
            if let Some(running) = self.running.as_mut() {
                let (messages, next) = ready!(running.as_mut().poll(context));
                self.running = None;
                self.ready = messages.into_iter();
                self.next = Some(next);
                continue;
            }
            match self.next.take() {
                Some(Next::More(state)) => self.running = Some((self.step)(state)),
                Some(Next::Fail(status)) => return Poll::Ready(Some(Err(status))),
                Some(Next::End) | None => return Poll::Ready(None),
            }
        }
    }
}

/// Events as messages.
pub fn messages(events: Vec<Pair>, ids: Ids) -> Vec<Message> {
    events.into_iter().map(|pair| Message::Event { pair, ids }).collect()
}

/// A message that is no event.
pub fn control(content: Content) -> Message {
    Message::of(&ReadResp { content: Some(content) })
}

#[derive(Clone)]
struct StreamReading {
    engine: Arc<Engine>,
    name: Arc<str>,
    form: Form,
    from: u64,
    left: u64,
}

impl StreamReading {
    async fn page(&self) -> Result<Found, Status> {
        let Self { name, form, from, left, .. } = self.clone();
        let events = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE.events);
        let read = move |store: &store_core::Store, now| {
            let size = PageSize { events, ..PAGE };
            let Form { direction, resolve, .. } = form;
            store.read_stream(
                &StreamRead { name: &name, from, direction, size, resolve, unlimited: false },
                now,
            )
        };
        self.engine.read(read).await.map_err(fault::of)
    }

    /// The messages of a page, and what is to be read after it.
    fn take(mut self, found: StreamPage) -> (Vec<Message>, Next<Self>) {
        let mut messages = messages(found.page.events, self.form.ids);
        self.left -= messages.len() as u64;
        match found.page.next.filter(|_| self.left > 0) {
            Some(next) => {
                self.from = next;
                (messages, Next::More(self))
            }
            None => {
                if self.form.control {
                    messages.push(control(Content::LastStreamPosition(found.last)));
                }
                (messages, Next::End)
            }
        }
    }

    /// Where reading really began, when the first page of the real server would be empty.
    fn skipped(&self, found: &StreamPage) -> Option<u64> {
        if !self.form.control || self.form.direction == Direction::Backwards {
            return None;
        }
        let page_end = self.from.saturating_add(self.left.min(FIRST_PAGE) - 1);
        if page_end < found.first {
            return Some(found.first);
        }
        let next = found.last + 1;
        (self.from.max(found.first) > found.last && self.from != next).then_some(next)
    }
}

/// Reads a stream.
pub async fn stream(engine: Arc<Engine>, name: String, form: Form, count: u64) -> Result<Answers, Status> {
    let from = match (form.start, form.direction) {
        (Origin::End, Direction::Forwards) => {
            return Err(Status::unknown("Unexpected ReadStreamResult: Error"));
        }
        _ if count == 0 => return Err(Status::unknown("Unexpected ReadStreamResult: Error")),
        (Origin::End, Direction::Backwards) => u64::MAX,
        (Origin::Start, _) => 0,
        (Origin::At(revision) | Origin::Before(revision), _) => revision,
    };
    let reading = StreamReading { engine, name: name.as_str().into(), form, from, left: count };
    let found = match reading.page().await? {
        Found::Stream(found) => found,
        Found::Missing => {
            let stream_identifier = Some(StreamIdentifier { stream_name: name.into() });
            return Ok(Answers::one(&ReadResp {
                content: Some(Content::StreamNotFound(StreamNotFound { stream_identifier })),
            }));
        }
    };
    let mut first: Vec<Message> = reading
        .skipped(&found)
        .map(|revision| control(Content::FirstStreamPosition(revision)))
        .into_iter()
        .collect();
    let (events, next) = reading.take(found);
    first.extend(events);
    Ok(paged(first, next, |next| {
        Box::pin(async move {
            match next {
                Next::More(reading) => match reading.page().await {
                    Ok(Found::Stream(found)) => {
                        let (messages, next) = reading.take(found);
                        (messages, Next::More(next))
                    }
                    Ok(Found::Missing) => (Vec::new(), Next::End),
                    Err(status) => (Vec::new(), Next::Fail(status)),
                },
                Next::End => (Vec::new(), Next::End),
                Next::Fail(status) => (Vec::new(), Next::Fail(status)),
            }
        })
    }))
}

struct AllReading {
    engine: Arc<Engine>,
    form: Form,
    filter: Option<Arc<Filter>>,
    from: u64,
    left: u64,
}

impl AllReading {
    async fn page(mut self) -> Result<(Vec<Message>, Next<Self>), Status> {
        let Form { direction, resolve, ids, .. } = self.form;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        // Who looks for few events among many looks at whole pages.
        let events = if self.filter.is_some() { PAGE.events } else { wanted.min(PAGE.events) };
        let look = Look { from: self.from, direction, size: PageSize { events, ..PAGE }, resolve };
        let page = self.engine.read(move |store, now| glance(store, look, now)).await.map_err(fault::of)?;
        let (mut fitting, failed) = match &self.filter {
            Some(filter) => {
                let (judged, failed) = judge(filter, page.events).await;
                (judged.into_iter().filter(|(_, fits)| *fits).map(|(pair, _)| pair).collect(), failed)
            }
            None => (page.events, None),
        };
        fitting.truncate(wanted);
        self.left -= fitting.len() as u64;
        let next = match (failed, page.next.filter(|_| self.left > 0)) {
            (Some(failed), Some(_)) => Next::Fail(failed),
            (_, Some(next)) => {
                self.from = next;
                Next::More(self)
            }
            (_, None) => Next::End,
        };
        Ok((messages(fitting, ids), next))
    }
}

/// Reads the log.
pub async fn all(
    engine: Arc<Engine>,
    form: Form,
    filter: Option<Filter>,
    count: u64,
) -> Result<Answers, Status> {
    if count == 0 || filter.as_ref().is_some_and(|filter| filter.window == 0) {
        // The real server never answers these.
        return Ok(Answers::new(tokio_stream::pending()));
    }
    let from = match form.start {
        Origin::Start => 0,
        Origin::End => u64::MAX,
        Origin::At(position) | Origin::Before(position) => {
            match engine.read(move |store, _| store.check_position(position)).await {
                Err(store_core::Fault::AheadOfLog) if form.direction == Direction::Forwards => {}
                checked => checked.map_err(fault::of)?,
            }
            position
        }
    };
    let reading = AllReading { engine, form, filter: filter.map(Arc::new), from, left: count };
    Ok(paged(Vec::new(), reading, |reading| {
        Box::pin(
            async move { reading.page().await.unwrap_or_else(|status| (Vec::new(), Next::Fail(status))) },
        )
    }))
}
