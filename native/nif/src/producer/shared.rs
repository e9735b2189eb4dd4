//! What the client's task and the producer process share: a mutex for moments, never held while anything is decoded.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use client::{Batch, Counts, Report, Sink};
use producer_core::{Activity, Epoch, Producer, Remains, Settings};
use reader_core::{Beyond, Position};
use rustler::{Encoder, Env, LocalPid, NifResult, OwnedEnv, Term};
use stage_core::AnyDispatcher;
use tokio::sync::Notify;
use wire::error::Error;

use crate::account::limits::SLOW_TO_FREE;
use crate::deferred_drop::drop_later;
use crate::event_term::Bodies;
use crate::producer::consumers::{Consumers, Delivery};
use crate::producer::held::{By, Held, hold};

mod atoms {
    rustler::atoms! { penstock, ready, panicked, poisoned }
}

/// What happens to the connection: told at once and in its order, however far the consumers are.
pub enum Notice {
    Taken(Option<Position>),
    Beyond(Beyond),
    Dropped { cause: Error, wait: Duration, was_taken: bool },
}

/// What is true once all events before have been given out.
pub enum Reached {
    /// A filter has let nothing through since, up to here.
    Checkpoint(Position),
    /// It is over, for this reason.
    Stopped(Error),
}

pub struct Inner {
    pub producer: Producer<Held, Reached, Notice>,
    /// Of the last event before those to be given out, if that is known.
    pub after: Option<Position>,
    pub beyond: Option<Beyond>,
    pub counts: Counts,
}

pub struct Shared {
    inner: Mutex<Inner>,
    room: Notify,
    delivery: Mutex<Delivery>,
    owner: LocalPid,
    pub bodies: Bodies,
    pub on_log: bool,
    by: Option<By>,
}

/// What a producer's events come from.
#[derive(Clone, Copy)]
pub struct Source {
    /// Whether places in it are positions in the log, or revisions.
    pub on_log: bool,
    /// Of the last event before those to be given out, if that is known.
    pub after: Option<Position>,
}

/// What a producer is started with.
pub struct Start {
    pub settings: Settings,
    pub bodies: Bodies,
    pub dispatcher: AnyDispatcher<u64>,
    pub by: Option<By>,
    pub consumers: Consumers,
    pub source: Source,
}

impl Shared {
    pub fn new(owner: LocalPid, start: Start) -> Self {
        let Start { settings, bodies, dispatcher, by, consumers, source } = start;
        let Source { on_log, after } = source;
        let producer = Producer::new(settings, dispatcher);
        let inner = Inner { producer, after, beyond: None, counts: Counts::default() };
        let (inner, delivery) = (Mutex::new(inner), Mutex::new(Delivery::new(consumers)));
        Self { inner, room: Notify::new(), delivery, owner, bodies, on_log, by }
    }

    /// Poisoned when something panicked while it held the lock: then this producer is over, and says so.
    pub fn lock(&self) -> NifResult<MutexGuard<'_, Inner>> {
        self.inner.lock().map_err(|_| rustler::Error::RaiseTerm(Box::new(atoms::poisoned())))
    }

    /// For the producer process alone, who may therefore hold it for as long as a call lasts.
    pub fn delivery(&self) -> NifResult<MutexGuard<'_, Delivery>> {
        self.delivery.lock().map_err(|_| rustler::Error::RaiseTerm(Box::new(atoms::poisoned())))
    }

    /// Lets go of everything that waits.
    pub fn clear(&self) {
        if let Ok(mut inner) = self.inner.lock() {
            let remains = inner.producer.clear();
            drop(inner);
            free(remains);
        }
    }

    pub fn owner(&self) -> LocalPid {
        self.owner
    }

    pub fn panicked(&self) {
        self.tell(|env| atoms::panicked().encode(env));
    }

    /// Tells the client's task that there is room again, if it waits for that.
    pub fn make_room(&self, inner: &mut Inner) {
        if inner.producer.room_made() {
            self.room.notify_one();
        }
    }

    /// Changes what is shared, and wakes the producer if that gives it something to do.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let Ok(mut inner) = self.inner.lock() else { return };
        if inner.producer.is_closed() {
            return;
        }
        change(&mut inner);
        let wake = inner.producer.wake_due();
        drop(inner);
        if wake {
            self.tell(|env| atoms::ready().encode(env));
        }
    }

    /// Sends `{:penstock, what}` to the producer. Only for threads that are not the BEAM's own.
    fn tell(&self, what: impl for<'b> FnOnce(Env<'b>) -> Term<'b>) {
        // A producer that is gone needs no message: its monitor ends the task.
        OwnedEnv::new().send_and_clear(&self.owner, |env| (atoms::penstock(), what(env))).ok();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Ok(inner) = self.inner.get_mut() {
            free(inner.producer.clear());
        }
    }
}

/// Frees what a producer has let go of, aside if there is much of it.
pub fn free(remains: Remains<Held, Reached>) {
    if remains.events() >= SLOW_TO_FREE {
        drop_later(remains);
    }
}

impl Sink for Shared {
    fn put(&self, batch: Batch) {
        let (frame, fault) = hold(batch.events, self.by, self.bodies.decode);
        self.change(|inner| {
            // what comes is after the position
            inner.beyond = None;
            inner.producer.put(frame);
            if let Some(fault) = fault {
                inner.producer.stop(Reached::Stopped(fault));
            }
        });
    }

    fn report(&self, report: Report) {
        self.change(|inner| match report {
            Report::Connecting => inner.producer.standing().connecting(),
            Report::Located(end) => inner.after = inner.after.or(end),
            Report::Taken { epoch, after } => {
                inner.producer.standing().taken(Epoch(epoch.number()));
                inner.producer.notice(Notice::Taken(after));
            }
            Report::State(epoch, state) => {
                inner.producer.mark_state(Epoch(epoch.number()), activity(state));
            }
            Report::Checkpoint(_, position) => {
                let outdated = |last: &Reached| matches!(last, Reached::Checkpoint(_));
                inner.producer.mark_instead(Reached::Checkpoint(position), outdated);
            }
            Report::Beyond(beyond) => {
                inner.beyond = beyond;
                if let Some(beyond) = beyond {
                    inner.producer.notice(Notice::Beyond(beyond));
                }
            }
            Report::Dropped { cause, wait, was_taken } => {
                inner.producer.standing().backing_off();
                inner.producer.notice(Notice::Dropped { cause, wait, was_taken });
            }
            Report::Stopped(error) => inner.producer.stop(Reached::Stopped(error)),
        });
    }

    fn count(&self, counts: Counts) {
        self.change(|inner| inner.counts = counts);
    }

    async fn room(&self) {
        let full = self.inner.lock().is_ok_and(|mut inner| inner.producer.wait_for_room());
        if full {
            self.room.notified().await;
        }
    }
}

/// What a reader says it is doing.
fn activity(state: reader_core::State) -> Activity {
    match state {
        reader_core::State::Connecting => Activity::Connecting,
        reader_core::State::Reading => Activity::Reading,
        reader_core::State::Subscribed => Activity::Subscribed,
        reader_core::State::BackingOff => Activity::BackingOff,
        reader_core::State::Stopped => Activity::Stopped,
    }
}
