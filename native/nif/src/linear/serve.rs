//! From the ready queue to the consumers' mailboxes, in slices that no scheduler notices.

use std::time::Duration;

use client::Taken;
use reader_core::{Beyond, LogPosition, Position};
use rustler::{Atom, Encoder, Env, NifResult, Term};
use stage_core::Dispatcher;
use wire::error::Error;

use crate::account::limits::{DIRTY_NS, EVENT_NS, JSON_BYTE_NS, ORDINARY_NS};
use crate::error;
use crate::event_term::{Bodies, Encoder as EventEncoder, readable};
use crate::linear::shared::{Book, Consumer, Held, Inner, Mark, Notice, Shared};
use crate::linear::state;
use crate::sys::{MessageEnv, Terms};

mod atoms {
    rustler::atoms! {
        ok, more, large, state, stopped, exceeded, taken, dropped, beyond, position, last_revision,
        gen_consumer = "$gen_consumer"
    }
}

/// What a call may cost, in nanoseconds by estimate: knowing before beats putting back.
pub struct Budget {
    left: u64,
    /// The next event is taken whatever it costs, or nothing would ever come of it.
    one_at_any_cost: bool,
}

impl Budget {
    pub fn ordinary() -> Self {
        Self { left: ORDINARY_NS, one_at_any_cost: false }
    }

    pub fn dirty() -> Self {
        Self { left: DIRTY_NS, one_at_any_cost: true }
    }

    fn affords(&mut self, bodies: Bodies, bytes: usize) -> bool {
        let body = if bodies.decode { JSON_BYTE_NS * bytes as u64 } else { 0 };
        let left = self.left.checked_sub(EVENT_NS + body);
        self.left = left.unwrap_or(0);
        left.is_some() | std::mem::take(&mut self.one_at_any_cost)
    }
}

/// What is to be done after a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing until somebody says so.
    Wait,
    /// The next slice.
    More,
    /// The next slice, on a dirty scheduler.
    Large,
}

struct Slice {
    key: u64,
    taken: Vec<Taken<Held>>,
}

/// What one call came to, besides the messages it sent.
#[derive(Default)]
struct Outcome<'a> {
    /// Messages that only the BEAM itself can send, as `{pid, message}`.
    remote: Vec<Term<'a>>,
    /// What there is to say, as `{kind, what}`: most often what was reached in the stream.
    marks: Vec<Term<'a>>,
    slices: usize,
}

/// Gives out what is ready and wanted, up to the budget.
///
/// Answers what to do next: an atom, or `{next, remote, marks}` when there is something for the BEAM to do.
pub fn serve<'a>(
    env: Env<'a>,
    shared: &Shared,
    mut budget: Budget,
    exceeded: Option<u64>,
) -> NifResult<Term<'a>> {
    let mut outcome = Outcome::default();
    outcome.marks.extend(exceeded.map(|max| (atoms::exceeded(), max).encode(env)));
    let book = shared.book()?;
    let next = loop {
        let slice = {
            let mut inner = shared.lock()?;
            reach(env, &mut inner, &mut outcome.marks);
            next_slice(&mut inner, shared, &mut budget)
        };
        match slice {
            Ok(slice) => {
                if let Some(cause) = give(env, shared, &book, &slice, &mut outcome)? {
                    shared.lock()?.halt();
                    outcome.marks.push((atoms::stopped(), error::term(env, &cause)).encode(env));
                    break Next::Wait;
                }
            }
            // what did not fit beside others may fit a call of its own
            Err(Next::Large) if outcome.slices > 0 => break shared.lock()?.once_more(),
            Err(next) => break next,
        }
    };
    Ok(outcome.answer(env, next))
}

/// Takes what has happened to the connection, and the marks whose time has come.
fn reach<'a>(env: Env<'a>, inner: &mut Inner, marks: &mut Vec<Term<'a>>) {
    while let Some(notice) = inner.notice() {
        marks.push(match notice {
            Notice::Taken(after) => (atoms::taken(), after).encode(env),
            Notice::Beyond(beyond) => (atoms::beyond(), self::beyond(env, beyond)).encode(env),
            Notice::Dropped { cause, wait, was_taken } => {
                (atoms::dropped(), (error::term(env, &cause), millis(wait), was_taken)).encode(env)
            }
        });
    }
    while let Some(mark) = inner.ready.reached() {
        match mark {
            Mark::State(epoch, reached) => {
                if inner.reached(epoch, reached) {
                    marks.push((atoms::state(), (state(reached), inner.revision)).encode(env));
                }
            }
            Mark::Stopped(cause) => marks.push((atoms::stopped(), error::term(env, &cause)).encode(env)),
        }
    }
}

/// `%{position: revision, last_revision: revision | nil}`
pub fn beyond(env: Env<'_>, beyond: Beyond) -> Term<'_> {
    let last = beyond.last.map(|last| position(env, last));
    let pairs =
        [(atoms::position(), position(env, beyond.position)), (atoms::last_revision(), last.encode(env))];
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// A revision, or `{commit, prepare}`.
fn position(env: Env<'_>, position: Position) -> Term<'_> {
    match position {
        Position::Revision(revision) => revision.encode(env),
        Position::Log(LogPosition { commit, prepare }) => (commit, prepare).encode(env),
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

fn next_slice(inner: &mut Inner, shared: &Shared, budget: &mut Budget) -> Result<Slice, Next> {
    let wanted = usize::try_from(inner.wanted()).unwrap_or(usize::MAX).min(shared.slice);
    if wanted == 0 || inner.ready.events() == 0 {
        return Err(Next::Wait);
    }
    let affordable = inner.ready.affordable(wanted, |bytes| budget.affords(shared.bodies, bytes));
    if affordable == 0 {
        return Err(Next::Large);
    }
    let Some((key, count)) = inner.dispatcher.deal_one(affordable as u64) else { return Err(Next::Wait) };
    let taken = inner.ready.take(usize::try_from(count).unwrap_or(usize::MAX));
    shared.make_room(inner);
    Ok(Slice { key, taken })
}

/// Sends a slice, up to the first event that cannot be read; answers why that cannot.
fn give<'a>(
    env: Env<'a>,
    shared: &Shared,
    book: &Book,
    slice: &Slice,
    outcome: &mut Outcome<'a>,
) -> NifResult<Option<Error>> {
    outcome.slices += 1;
    let consumer = book.consumer(slice.key)?;
    let mut given = Given::default();
    match consumer.local() {
        Some(pid) => {
            let mut message = MessageEnv::new();
            message.build(|own| addressed(own, shared, book, consumer, slice, &mut given));
            // a consumer that is gone takes its events with it; its monitor says so
            if given.revision.is_some() {
                message.send(env, &pid);
            }
        }
        None => {
            let message = addressed(env, shared, book, consumer, slice, &mut given);
            if given.revision.is_some() {
                outcome.remote.push((consumer.pid(env), message).encode(env));
            }
        }
    }
    if let Some(revision) = given.revision {
        shared.lock()?.revision = Some(revision);
    }
    Ok(given.fault)
}

/// What a message holds.
#[derive(Default)]
struct Given {
    /// The revision of its last event; `None` when it has none, and must not be sent.
    revision: Option<u64>,
    /// Why it ends before it should.
    fault: Option<Error>,
}

/// `{:"$gen_consumer", {producer, tag}, events}`
fn addressed<'b>(
    env: Env<'b>,
    shared: &Shared,
    book: &Book,
    consumer: &Consumer,
    slice: &Slice,
    given: &mut Given,
) -> Term<'b> {
    let from = (shared.owner(), consumer.tag(env));
    (atoms::gen_consumer(), from, events(env, shared, book, slice, given)).encode(env)
}

fn events<'b>(env: Env<'b>, shared: &Shared, book: &Book, slice: &Slice, given: &mut Given) -> Term<'b> {
    let (producer, subscription) = book.origin(env);
    let mut terms = Terms::new(env);
    'all: for Taken { frame: Held(frame), events } in &slice.taken {
        let mut encoder = EventEncoder::new(env, frame, shared.bodies, producer, subscription);
        for index in events.clone() {
            match readable(frame.messages().get(index).map_or(b"", |message| message)) {
                Ok(event) => {
                    given.revision = event.original().map(|original| original.revision).or(given.revision);
                    terms.push(encoder.event(index, &event));
                }
                Err(fault) => {
                    given.fault = Some(fault);
                    break 'all;
                }
            }
        }
    }
    terms.list(0)
}

impl<'a> Outcome<'a> {
    fn answer(self, env: Env<'a>, next: Next) -> Term<'a> {
        let next: Atom = match next {
            Next::Wait => atoms::ok(),
            Next::More => atoms::more(),
            Next::Large => atoms::large(),
        };
        if self.remote.is_empty() && self.marks.is_empty() {
            next.encode(env)
        } else {
            (next, self.remote, self.marks).encode(env)
        }
    }
}
