//! Subscriptions to the log with a filter: events that fit, and checkpoints for the many that do not.
//!
//! Catching up, the log is looked at in windows, and a checkpoint follows every so many of them. It is at the
//! window's first event, or at the last event sent if that is later. Live, it is at every so many-th event that was
//! appended since the subscription was confirmed.

use std::sync::Arc;

use store_core::{Direction, Fault, PageSize};
use tokio::sync::watch;
use tonic::Status;
use wire::proto::streams::read_resp::{CaughtUp, Checkpoint, Content};

use crate::answers::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::filter::Filter;
use crate::form::{Form, Origin};
use crate::judge::{Judged, judge};
use crate::log::{Glance, Look, glance, position};
use crate::messages::Messages;
use crate::reading::{Next, PAGE, control, paged};
use crate::subscription::{Start, confirmation, invalid_position, start_of_log, wait};

struct Filtered {
    engine: Arc<Engine>,
    filter: Arc<Filter>,
    form: Form,
    changes: watch::Receiver<()>,
    /// Where to look next.
    cursor: u64,
    /// The last event sent, or where the client began: up to here, events are considered but not sent.
    sent: u64,
    /// The last checkpoint.
    checkpoint: Option<u64>,
    /// The window that is looked at while catching up.
    window: Window,
    /// How many events were considered since the last checkpoint.
    considered: u64,
    /// The end of the log when the subscription was confirmed.
    confirmed: u64,
    /// How many events were appended since.
    appended: u64,
    /// Whether a last checkpoint is due when the end of the log is reached.
    closing: bool,
    live: bool,
}

/// So many events of the log, looked at a page at a time: a client may ask for windows of any size.
struct Window {
    /// The position of its first event, once that was looked at.
    first: Option<u64>,
    /// How many events are still to be looked at.
    left: usize,
}

impl Filtered {
    async fn next(mut self) -> (Messages, Next<Self>) {
        loop {
            self.changes.mark_unchanged();
            let Glance { events, next, more } = match self.look().await {
                Ok(glance) => glance,
                Err(fault) => return (Messages::default(), Next::Fail(fault::of(fault))),
            };
            self.cursor = next.unwrap_or(self.cursor);
            let (events, failed) = judge(&self.filter, events).await;
            let mut found = if self.live { self.go_live(events) } else { self.catch_up(events) };
            if let Some(failed) = failed {
                return (found, Next::Fail(failed));
            }
            if !more && !self.live {
                self.close(&mut found);
                found.push(&control(Content::CaughtUp(CaughtUp::default())));
                self.live = true;
            }
            if !found.is_empty() {
                return (found, Next::More(self));
            }
            if !more && let Err(status) = wait(&self.engine, &mut self.changes).await {
                return (Messages::default(), Next::Fail(status));
            }
        }
    }

    async fn look(&self) -> Result<Glance, Fault> {
        let events = if self.live { PAGE.events } else { PAGE.events.min(self.window.left) };
        let size = PageSize { events, ..PAGE };
        let look =
            Look { from: self.cursor, direction: Direction::Forwards, size, resolve: self.form.resolve };
        self.engine.read(move |store, now| glance(store, look, now)).await
    }

    /// Events of a window, and a checkpoint after it if one is due.
    fn catch_up(&mut self, events: Vec<Judged>) -> Messages {
        let mut found = Messages::default();
        self.considered += events.len() as u64;
        self.window.left = self.window.left.saturating_sub(events.len());
        for (pair, fits) in events {
            let position = position(&pair);
            self.window.first.get_or_insert(position);
            self.appended += u64::from(position >= self.confirmed);
            if fits && position > self.sent {
                self.sent = position;
                found.push_event(&pair.view(), self.form.ids);
            }
        }
        if self.window.left == 0 {
            let first = self.window.first.unwrap_or_default();
            self.window = Window::new(&self.filter);
            if self.considered >= self.interval() {
                self.considered = 0;
                self.mark(&mut found, first.max(self.sent));
            }
        }
        found
    }

    /// Events in order, each followed by the checkpoint that it makes due.
    fn go_live(&mut self, events: Vec<Judged>) -> Messages {
        let mut found = Messages::default();
        for (pair, fits) in events {
            let at = position(&pair);
            if fits {
                self.sent = at;
                found.push_event(&pair.view(), self.form.ids);
            }
            self.appended += 1;
            if self.appended.is_multiple_of(self.interval()) {
                self.mark(&mut found, at);
            }
        }
        found
    }

    /// Catching up ends with a checkpoint, unless it was sent.
    fn close(&mut self, found: &mut Messages) {
        if self.closing {
            self.mark(found, self.sent.max(self.checkpoint.unwrap_or_default()));
        }
    }

    fn mark(&mut self, found: &mut Messages, position: u64) {
        if self.checkpoint.is_some_and(|last| last >= position) {
            return;
        }
        self.checkpoint = Some(position);
        found.push(&control(Content::Checkpoint(Checkpoint {
            commit_position: position,
            prepare_position: position,
            timestamp: None,
        })));
    }

    fn interval(&self) -> u64 {
        u64::from(self.filter.window) * u64::from(self.filter.multiplier)
    }
}

impl Window {
    fn new(filter: &Filter) -> Self {
        Self { first: None, left: usize::try_from(filter.window).unwrap_or(usize::MAX) }
    }
}

/// Subscribes to what fits in the log. Positions are exclusive.
pub async fn all(engine: Arc<Engine>, form: Form, filter: Filter) -> Result<Answers, Status> {
    if filter.multiplier == 0 {
        return Err(fault::handler());
    }
    if filter.window == 0 {
        return Ok(Answers::new(tokio_stream::iter([Ok(confirmation()), Err(fault::handler())])));
    }
    let changes = engine.watch_log();
    let Some(Start { after, head }) = start_of_log(&engine, form.start).await? else {
        return Ok(invalid_position());
    };
    let from_end = form.start == Origin::End;
    let filtered = Filtered {
        engine,
        window: Window::new(&filter),
        filter: filter.into(),
        form,
        changes,
        cursor: if from_end { head } else { after },
        sent: after,
        checkpoint: None,
        considered: 0,
        confirmed: head,
        appended: 0,
        closing: !from_end,
        live: false,
    };
    Ok(paged(confirmation(), filtered, |filtered| Box::pin(filtered.next())))
}
