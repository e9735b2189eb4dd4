//! Reads that go on: a cursor over the store that waits where there is nothing more yet.
//!
//! A subscriber holds one page at most. One that is slow finds more than a page when it comes back: it has fallen
//! behind, reads on as when it caught up, and says so when it has.

use std::sync::Arc;

use store_core::{Direction, Fault, Store, StreamRead, Ticks};
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;
use wire::proto::streams::read_resp::{CaughtUp, Content, SubscriptionConfirmation};

use crate::answers::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::form::{Form, Origin};
use crate::log::{Glance, Look, glance};
use crate::messages::Messages;
use crate::reading::{Next, PAGE, control, paged, room};

/// What is subscribed to.
#[derive(Clone)]
enum Source {
    Stream(Arc<str>),
    All,
}

struct Subscription {
    engine: Arc<Engine>,
    source: Source,
    form: Form,
    cursor: u64,
    live: bool,
    changes: watch::Receiver<()>,
}

/// What was found, as messages.
struct Seen {
    messages: Messages,
    /// Where reading goes on, unless there was nothing to read.
    next: Option<u64>,
    /// Whether there is something to read there already.
    more: bool,
}

impl Subscription {
    /// The next messages, as soon as there are some.
    async fn next(mut self) -> (Messages, Next<Self>) {
        loop {
            self.changes.mark_unchanged();
            let Seen { messages: mut found, next, more } = match self.look().await {
                Ok(seen) => seen,
                Err(fault) => return (Messages::default(), Next::Fail(fault::of(fault))),
            };
            self.cursor = next.unwrap_or(self.cursor);
            if !more && !self.live {
                found.push(&control(Content::CaughtUp(CaughtUp::default())));
            }
            self.live = !more;
            if !found.is_empty() {
                return (found, Next::More(self));
            }
            if let Err(status) = wait(&self.engine, &mut self.changes).await {
                return (Messages::default(), Next::Fail(status));
            }
        }
    }

    async fn look(&self) -> Result<Seen, Fault> {
        let (source, cursor, form, live) = (self.source.clone(), self.cursor, self.form, self.live);
        self.engine
            .read(move |store, now| match &source {
                Source::Stream(name) => look_at_stream(store, name, cursor, form, live, now),
                Source::All => {
                    let look = Look {
                        from: cursor,
                        direction: Direction::Forwards,
                        size: PAGE,
                        resolve: form.resolve,
                    };
                    let Glance { events, next, more } = glance(store, look, now)?;
                    Ok(Seen { messages: Messages::events(&events, form.ids), next, more })
                }
            })
            .await
    }
}

/// What is read live was there before any limit could be set to it.
fn look_at_stream(
    store: &Store,
    name: &str,
    cursor: u64,
    form: Form,
    live: bool,
    now: Ticks,
) -> Result<Seen, Fault> {
    let Form { resolve, ids, .. } = form;
    let (direction, size) = (Direction::Forwards, PAGE);
    let read = StreamRead { name, from: cursor, direction, size, resolve, unlimited: live };
    // Live, there is little at a time.
    let mut messages = if live { Messages::default() } else { Messages::with_room(room(size)) };
    let extent = store.show_stream(&read, now, &mut |pair| messages.push_event(&pair, ids))?;
    let after = |last: u64| Some(cursor.max(last));
    Ok(match extent {
        None => Seen { messages, next: after(store.next_revision(name)), more: false },
        Some(extent) => {
            Seen { messages, next: extent.next.or(after(extent.last + 1)), more: extent.next.is_some() }
        }
    })
}

/// Waits for something new.
///
/// # Errors
/// When the server ends first.
pub async fn wait(engine: &Engine, changes: &mut watch::Receiver<()>) -> Result<(), Status> {
    tokio::select! {
        changed = changes.changed() => changed.map_err(|_| fault::stopping()),
        () = engine.stopping() => Err(fault::stopping()),
    }
}

/// The first message of every subscription.
pub fn confirmation() -> Messages {
    let subscription_id = Uuid::new_v4().hyphenated().to_string();
    Messages::of(&control(Content::Confirmation(SubscriptionConfirmation { subscription_id })))
}

fn answers(subscription: Subscription) -> Answers {
    paged(confirmation(), subscription, |subscription| Box::pin(subscription.next()))
}

/// Subscribes to a stream. Revisions are exclusive.
pub async fn stream(engine: Arc<Engine>, name: String, form: Form) -> Result<Answers, Status> {
    let changes = engine.watch_stream(&name);
    let name: Arc<str> = name.into();
    let (start, stream) = (form.start, name.clone());
    let cursor = engine
        .read(move |store, _| {
            store.check_stream(&stream)?;
            Ok(match start {
                Origin::Start => 0,
                Origin::End => store.next_revision(&stream),
                Origin::At(revision) => revision + 1,
                Origin::Before(revision) => revision,
            })
        })
        .await
        .map_err(fault::of)?;
    let source = Source::Stream(name);
    Ok(answers(Subscription { engine, source, form, cursor, live: false, changes }))
}

/// Where a subscription to the log begins.
pub struct Start {
    /// The position of the last event that is not wanted.
    pub after: u64,
    /// The end of the log now.
    pub head: u64,
}

/// Where in the log to begin, unless there is no event at the position.
///
/// # Errors
/// When the store fails.
pub async fn start_of_log(engine: &Arc<Engine>, start: Origin) -> Result<Option<Start>, Status> {
    let found = engine.read(move |store, _| {
        let head = store.head();
        let after = match start {
            Origin::Start => 0,
            Origin::End => head - 1,
            Origin::At(position) | Origin::Before(position) => match store.check_position(position) {
                Ok(()) | Err(Fault::AheadOfLog) => position - u64::from(matches!(start, Origin::Before(_))),
                Err(fault) => return Err(fault),
            },
        };
        Ok(Start { after, head })
    });
    match found.await {
        Ok(start) => Ok(Some(start)),
        Err(Fault::InvalidPosition) => Ok(None),
        Err(fault) => Err(fault::of(fault)),
    }
}

/// What a subscription is answered that begins between events.
pub fn invalid_position() -> Answers {
    refused(Status::invalid_argument("Trying to read from an invalid position."))
}

/// What a subscription is answered that is refused too late.
pub fn refused(status: Status) -> Answers {
    Answers::new(tokio_stream::iter([Ok(confirmation()), Err(status)]))
}

/// Subscribes to the log. Positions are exclusive.
pub async fn all(engine: Arc<Engine>, form: Form) -> Result<Answers, Status> {
    let changes = engine.watch_log();
    let Some(Start { after, .. }) = start_of_log(&engine, form.start).await? else {
        return Ok(invalid_position());
    };
    Ok(answers(Subscription { engine, source: Source::All, form, cursor: after + 1, live: false, changes }))
}
