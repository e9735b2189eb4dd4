//! Subscriptions to the log with a filter: events that fit, and checkpoints for the many that do not.
//!
//! Catching up, the log is looked at in windows, and a checkpoint follows every so many of them. It is at the
//! window's first event, or at the last event sent if that is later. Live, it is at every so many-th event that was
//! appended since the subscription was confirmed.

use std::sync::Arc;

use store_core::{AllRead, Direction, Fault, LogPage, PageSize, Pair};
use tokio::sync::watch;
use tonic::Status;
use wire::proto::streams::read_resp::{CaughtUp, Checkpoint, Content};

use crate::calls::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::filter::Filter;
use crate::messages::Message;
use crate::read::{Form, Origin};
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

impl Filtered {
    async fn next(mut self) -> (Vec<Message>, Next<Self>) {
        loop {
            self.changes.mark_unchanged();
            let page = match self.look().await {
                Ok(page) => page,
                Err(fault) => return (Vec::new(), Next::Fail(fault::of(fault))),
            };
            self.cursor = page.next.unwrap_or(self.cursor);
            let more = page.considered.len() >= self.size();
            let mut found = if self.live { self.go_live(page) } else { self.catch_up(page, more) };
            if !more && !self.live {
                self.close(&mut found);
                found.push(control(Content::CaughtUp(CaughtUp::default())));
                self.live = true;
            }
            if !found.is_empty() {
                return (found, Next::More(self));
            }
            if !more && let Err(status) = wait(&self.engine, &mut self.changes).await {
                return (Vec::new(), Next::Fail(status));
            }
        }
    }

    fn size(&self) -> usize {
        if self.live { PAGE.events } else { self.filter.window as usize }
    }

    async fn look(&self) -> Result<LogPage, Fault> {
        let (filter, from, resolve) = (self.filter.clone(), self.cursor, self.form.resolve);
        let size = PageSize::events(self.size());
        self.engine
            .read(move |store, now| {
                let fits = |record: &store_core::Record| filter.fits(record);
                let direction = Direction::Forwards;
                store.read_all(&AllRead { from, direction, size, resolve, fits: Some(&fits) }, now)
            })
            .await
    }

    /// Events of one window, and a checkpoint if one is due.
    fn catch_up(&mut self, page: LogPage, whole: bool) -> Vec<Message> {
        self.appended +=
            page.considered.iter().filter(|position| **position >= self.confirmed).count() as u64;
        self.considered += page.considered.len() as u64;
        let first = page.considered.first().copied();
        let mut found = Vec::new();
        for pair in page.events {
            let position = position(&pair);
            if position > self.sent {
                self.sent = position;
                found.push(Message::Event { pair, ids: self.form.ids });
            }
        }
        if whole && self.considered >= self.interval() {
            self.considered = 0;
            self.mark(&mut found, first.unwrap_or_default().max(self.sent));
        }
        found
    }

    /// Events in order, each followed by the checkpoint that it makes due.
    fn go_live(&mut self, page: LogPage) -> Vec<Message> {
        let mut found = Vec::new();
        let mut events = page.events.into_iter().peekable();
        for at in page.considered {
            if let Some(pair) = events.next_if(|pair| position(pair) == at) {
                self.sent = at;
                found.push(Message::Event { pair, ids: self.form.ids });
            }
            self.appended += 1;
            if self.appended.is_multiple_of(self.interval()) {
                self.mark(&mut found, at);
            }
        }
        found
    }

    /// Catching up ends with a checkpoint, unless it was sent.
    fn close(&mut self, found: &mut Vec<Message>) {
        if self.closing {
            self.mark(found, self.sent.max(self.checkpoint.unwrap_or_default()));
        }
    }

    fn mark(&mut self, found: &mut Vec<Message>, position: u64) {
        if self.checkpoint.is_some_and(|last| last >= position) {
            return;
        }
        self.checkpoint = Some(position);
        found.push(control(Content::Checkpoint(Checkpoint {
            commit_position: position,
            prepare_position: position,
            timestamp: None,
        })));
    }

    fn interval(&self) -> u64 {
        u64::from(self.filter.window) * u64::from(self.filter.multiplier)
    }
}

fn position(pair: &Pair) -> u64 {
    pair.link.as_ref().or(pair.event.as_ref()).map_or(0, |record| record.position)
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
    Ok(paged(vec![confirmation()], filtered, |filtered| Box::pin(filtered.next())))
}
