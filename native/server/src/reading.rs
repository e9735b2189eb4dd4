//! Reads that end: pages of events, one after another as the client takes them.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use store_core::{Direction, Extent, PageSize, StreamRead};
use tonic::Status;
use wire::proto::StreamIdentifier;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::{Content, StreamNotFound};

use crate::answers::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::filter::Filter;
use crate::form::{Form, Origin};
use crate::judge::judge;
use crate::log::{Look, glance};
use crate::messages::Messages;

/// What is read at once: enough to fill the client's window, little enough to hold for every reader.
pub const PAGE: PageSize = PageSize { events: 256, bytes: 64 * 1024 };

/// Room for the messages of a page; of few events it is little, and grows if they are large.
pub fn room(size: PageSize) -> usize {
    size.events.saturating_mul(512).min(PAGE.bytes + PAGE.bytes / 4)
}

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

type Step<S> = Pin<Box<dyn Future<Output = (Messages, Next<S>)> + Send>>;

struct Paged<S, F> {
    ready: Messages,
    step: F,
    next: Option<Next<S>>,
    running: Option<Step<S>>,
}

/// Messages, then what `step` makes of the state, again and again.
pub fn paged<S, F>(first: Messages, state: S, step: F) -> Answers
where
    S: Send + Unpin + 'static,
    F: FnMut(S) -> Step<S> + Send + Unpin + 'static,
{
    Answers::new(Paged { ready: first, step, next: Some(Next::More(state)), running: None })
}

impl<S: Unpin, F: FnMut(S) -> Step<S> + Unpin> Stream for Paged<S, F> {
    type Item = Result<Messages, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(mem::take(&mut self.ready))));
            }
            if let Some(running) = self.running.as_mut() {
                let (messages, next) = ready!(running.as_mut().poll(context));
                self.running = None;
                self.ready = messages;
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

/// A message that is no event.
pub fn control(content: Content) -> ReadResp {
    ReadResp { content: Some(content) }
}

#[derive(Clone)]
struct StreamReading {
    engine: Arc<Engine>,
    name: Arc<str>,
    form: Form,
    from: u64,
    left: u64,
}

/// A page of a stream: how many events it has, and their messages.
struct StreamPage {
    events: u64,
    messages: Messages,
    extent: Extent,
}

impl StreamReading {
    /// A page, unless there is no stream.
    async fn page(&self) -> Result<Option<StreamPage>, Status> {
        let Self { name, form, from, left, .. } = self.clone();
        let size = PageSize { events: usize::try_from(left).unwrap_or(usize::MAX).min(PAGE.events), ..PAGE };
        let read = move |store: &store_core::Store, now| {
            let Form { direction, resolve, ids, .. } = form;
            let read = StreamRead { name: &name, from, direction, size, resolve, unlimited: false };
            let (mut events, mut messages) = (0, Messages::with_room(room(size)));
            let extent = store.show_stream(&read, now, &mut |pair| {
                events += 1;
                messages.push_event(&pair, ids);
            })?;
            Ok(extent.map(|extent| StreamPage { events, messages, extent }))
        };
        self.engine.read(read).await.map_err(fault::of)
    }

    /// The messages of a page, and what is to be read after it.
    fn take(mut self, page: StreamPage) -> (Messages, Next<Self>) {
        let StreamPage { events, mut messages, extent } = page;
        self.left -= events;
        match extent.next.filter(|_| self.left > 0) {
            Some(next) => {
                self.from = next;
                (messages, Next::More(self))
            }
            None => {
                if self.form.control {
                    messages.push(&control(Content::LastStreamPosition(extent.last)));
                }
                (messages, Next::End)
            }
        }
    }

    /// Where reading really began, when the first page of the real server would be empty.
    fn skipped(&self, found: &Extent) -> Option<u64> {
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
    let page = match reading.page().await? {
        Some(page) => page,
        None => {
            let stream_identifier = Some(StreamIdentifier { stream_name: name.into() });
            let missing = Content::StreamNotFound(StreamNotFound { stream_identifier });
            return Ok(Answers::one(&control(missing)));
        }
    };
    let mut first = Messages::default();
    if let Some(revision) = reading.skipped(&page.extent) {
        first.push(&control(Content::FirstStreamPosition(revision)));
    }
    let (events, next) = reading.take(page);
    first.append(events);
    Ok(paged(first, next, |next| {
        Box::pin(async move {
            match next {
                Next::More(reading) => match reading.page().await {
                    Ok(Some(page)) => {
                        let (messages, next) = reading.take(page);
                        (messages, Next::More(next))
                    }
                    Ok(None) => (Messages::default(), Next::End),
                    Err(status) => (Messages::default(), Next::Fail(status)),
                },
                Next::End => (Messages::default(), Next::End),
                Next::Fail(status) => (Messages::default(), Next::Fail(status)),
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
    async fn page(mut self) -> Result<(Messages, Next<Self>), Status> {
        let Form { direction, resolve, ids, .. } = self.form;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        // Who looks for few events among many looks at whole pages.
        let events = if self.filter.is_some() { PAGE.events } else { wanted.min(PAGE.events) };
        let look = Look { from: self.from, direction, size: PageSize { events, ..PAGE }, resolve };
        let page = self.engine.read(move |store, now| glance(store, look, now)).await.map_err(fault::of)?;
        let (mut fitting, failed): (Vec<_>, _) = match &self.filter {
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
        Ok((Messages::events(&fitting, ids), next))
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
    Ok(paged(Messages::default(), reading, |reading| {
        Box::pin(async move {
            reading.page().await.unwrap_or_else(|status| (Messages::default(), Next::Fail(status)))
        })
    }))
}
