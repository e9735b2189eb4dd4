//! What the client's task and the producer process share: a mutex for moments, never held while anything is decoded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use client::{Batch, Counts, Frame as ReadyFrame, Limits, ReadyQueue, Report, Sink};
use reader_core::{Beyond, Epoch, Position, Standing, Start, State};
use rustler::{Encoder, Env, LocalPid, NifResult, OwnedEnv, ResourceArc, Term};
use stage_core::DemandDispatcher;
use tokio::sync::Notify;
use wire::error::Error;

use crate::event_term::Bodies;
use crate::frame::Frame;
pub use crate::linear::book::{Book, Consumer};
use crate::linear::serve::Next;

mod atoms {
    rustler::atoms! { penstock, ready, panicked, poisoned }
}

/// A batch of undecoded events, kept alive by whoever holds a body of it.
#[derive(Clone)]
pub struct Held(pub ResourceArc<Frame>);

impl ReadyFrame for Held {
    fn events(&self) -> usize {
        self.0.messages().len()
    }

    fn bytes_of(&self, event: usize) -> usize {
        self.0.messages().get(event).map_or(0, |message| message.len())
    }
}

/// What happens between events.
pub enum Mark {
    State(Epoch, State),
    Stopped(Error),
}

/// What happens to the connection: told at once and in its order, however far the consumers are.
pub enum Notice {
    Taken(Option<u64>),
    Beyond(Beyond),
    Dropped { cause: Error, wait: Duration, was_taken: bool },
}

/// So many notices are kept for a producer that takes none, as one that is suspended: the latest.
const NOTICES: usize = 64;

pub struct Inner {
    pub ready: ReadyQueue<Held, Mark>,
    pub dispatcher: DemandDispatcher<u64>,
    pub forward: bool,
    pub revision: Option<u64>,
    pub beyond: Option<Beyond>,
    pub counts: Counts,
    standing: Standing,
    notices: VecDeque<Notice>,
    /// An event could not be given out: nothing after it may be.
    halted: bool,
    /// A message that makes the producer serve is on its way to it.
    woken: bool,
    /// The task waits for room.
    full: bool,
}

impl Inner {
    /// Adds demand; the largest ask that was expected comes back when this one was larger.
    pub fn ask(&mut self, key: u64, count: u64) -> Option<u64> {
        // An ask that a cancellation has overtaken is of no consequence.
        self.dispatcher.credit(&key, count).unwrap_or_default()
    }

    /// How many events may go out now.
    pub fn wanted(&self) -> u64 {
        if self.forward && !self.halted { self.dispatcher.demand() } else { 0 }
    }

    /// What the subscription is doing.
    pub fn state(&self) -> State {
        self.standing.state()
    }

    /// What has happened to the connection and was not told yet.
    pub fn notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether a mark that is reached now counts.
    pub fn reached(&mut self, epoch: Epoch, state: State) -> bool {
        self.standing.reached(epoch, state)
    }

    /// Gives nothing out any more: an event in its place was passed over.
    pub fn halt(&mut self) {
        self.halted = true;
        self.standing.stopped();
        self.ready = ReadyQueue::new(Limits { events: 1, bytes: 1 });
    }

    fn note(&mut self, notice: Notice) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// Notes that the message that wakes the producer has come: what happens from now on has to send another.
    pub fn awake(&mut self) {
        self.woken = false;
    }

    /// What the producer does about a next slice: it sends itself the message that wakes it, if none is on its way.
    pub fn once_more(&mut self) -> Next {
        if std::mem::replace(&mut self.woken, true) { Next::Wait } else { Next::More }
    }

    fn has_work(&self) -> bool {
        !self.notices.is_empty() || self.ready.is_at_mark() || (self.wanted() > 0 && self.ready.events() > 0)
    }
}

pub struct Shared {
    inner: Mutex<Inner>,
    room: Notify,
    book: Mutex<Book>,
    owner: LocalPid,
    /// The most events of one message.
    pub slice: usize,
    pub bodies: Bodies,
}

impl Shared {
    pub fn new(
        owner: LocalPid,
        limits: Limits,
        slice: usize,
        bodies: Bodies,
        dispatcher: DemandDispatcher<u64>,
        forward: bool,
        book: Book,
    ) -> Self {
        let inner = Inner {
            ready: ReadyQueue::new(limits),
            dispatcher,
            forward,
            revision: None,
            beyond: None,
            counts: Counts::default(),
            standing: Standing::default(),
            notices: VecDeque::new(),
            halted: false,
            woken: false,
            full: false,
        };
        Self { inner: Mutex::new(inner), room: Notify::new(), book: Mutex::new(book), owner, slice, bodies }
    }

    /// Poisoned when something panicked while it held the lock: then this subscription is over, and says so.
    pub fn lock(&self) -> NifResult<MutexGuard<'_, Inner>> {
        self.inner.lock().map_err(|_| rustler::Error::RaiseTerm(Box::new(atoms::poisoned())))
    }

    /// For the producer process alone, who may therefore hold it for as long as a call lasts.
    pub fn book(&self) -> NifResult<MutexGuard<'_, Book>> {
        self.book.lock().map_err(|_| rustler::Error::RaiseTerm(Box::new(atoms::poisoned())))
    }

    pub fn subscribe(&self, key: u64, pid: Term<'_>, tag: Term<'_>) -> NifResult<()> {
        self.book()?.add(key, Consumer::new(pid, tag));
        self.lock()?.dispatcher.subscribe(key).map_err(|_| rustler::Error::BadArg)
    }

    pub fn cancel(&self, key: u64) -> NifResult<()> {
        self.lock()?.dispatcher.cancel(&key);
        self.book()?.remove(key);
        Ok(())
    }

    pub fn begin(&self, from: Start) {
        if let (Ok(mut inner), Start::After(revision)) = (self.inner.lock(), from) {
            inner.revision = Some(revision);
        }
    }

    /// Lets go of everything that waits.
    pub fn clear(&self) {
        if let Ok(mut inner) = self.inner.lock() {
            inner.ready = ReadyQueue::new(Limits { events: 1, bytes: 1 });
        }
    }

    pub fn owner(&self) -> LocalPid {
        self.owner
    }

    pub fn panicked(&self) {
        self.tell(|env| atoms::panicked().encode(env));
    }

    /// Wakes the task when there is room again.
    pub fn make_room(&self, inner: &mut Inner) {
        if inner.full && inner.ready.is_half_empty() {
            inner.full = false;
            self.room.notify_one();
        }
    }

    /// Changes what is shared, and wakes the producer if that gives it something to do.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let Ok(mut inner) = self.inner.lock() else { return };
        if inner.halted {
            return;
        }
        change(&mut inner);
        let wake = inner.has_work() && !inner.woken;
        inner.woken |= wake;
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

impl Sink for Shared {
    fn put(&self, batch: Batch) {
        let frame = Held(Frame::new(batch.events));
        self.change(|inner| {
            // what comes is after the position
            inner.beyond = None;
            inner.ready.put(frame);
        });
    }

    fn report(&self, report: Report) {
        self.change(|inner| match report {
            Report::Connecting => inner.standing.connecting(),
            Report::Located(end) => inner.revision = inner.revision.or(end.and_then(Position::revision)),
            Report::Taken { epoch, after } => {
                inner.standing.taken(epoch);
                inner.note(Notice::Taken(after.and_then(Position::revision)));
            }
            Report::State(epoch, state) => inner.ready.mark(Mark::State(epoch, state)),
            // a stream has none
            Report::Checkpoint(..) => {}
            Report::Beyond(beyond) => {
                inner.beyond = beyond;
                if let Some(beyond) = beyond {
                    inner.note(Notice::Beyond(beyond));
                }
            }
            Report::Dropped { cause, wait, was_taken } => {
                inner.standing.backing_off();
                inner.note(Notice::Dropped { cause, wait, was_taken });
            }
            Report::Stopped(error) => {
                inner.standing.stopped();
                inner.ready.mark(Mark::Stopped(error));
            }
        });
    }

    fn count(&self, counts: Counts) {
        self.change(|inner| inner.counts = counts);
    }

    async fn room(&self) {
        let full = self.inner.lock().is_ok_and(|mut inner| {
            inner.full = inner.ready.is_full();
            inner.full
        });
        if full {
            self.room.notified().await;
        }
    }
}
