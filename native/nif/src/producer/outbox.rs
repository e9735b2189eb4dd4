//! What one call came to, besides the messages it sent.

use producer_core::{Activity, Happened, Rest};
use reader_core::{Beyond, LogPosition, Position};
use rustler::{Atom, Encoder, Env, Term};
use wire::error::Error;

use crate::error;
use crate::producer::shared::{Notice, Reached};

mod atoms {
    rustler::atoms! {
        ok, more, large, send, choose, state, stopped, exceeded, taken, dropped, beyond, lagged, lagging, position,
        last_revision, connecting, reading, subscribed, backing_off, checkpoint,
    }
}

pub struct Outbox<'a> {
    env: Env<'a>,
    /// What only the producer's process can do: `{:send, pid, message}`, where only the BEAM itself can send, and
    /// `{:choose, key, events}`, for a consumer whose filter is a function.
    hosted: Vec<Term<'a>>,
    /// What there is to say, as `{kind, what}`: most often what was reached in the stream.
    marks: Vec<Term<'a>>,
}

impl<'a> Outbox<'a> {
    pub fn new(env: Env<'a>) -> Self {
        Self { env, hosted: Vec::new(), marks: Vec::new() }
    }

    pub fn env(&self) -> Env<'a> {
        self.env
    }

    pub fn send(&mut self, pid: Term<'a>, message: Term<'a>) {
        self.hosted.push((atoms::send(), pid, message).encode(self.env));
    }

    pub fn choose(&mut self, key: u64, events: Term<'a>) {
        self.hosted.push((atoms::choose(), key, events).encode(self.env));
    }

    /// A consumer has asked for more than was expected.
    pub fn exceeded(&mut self, most: u64) {
        self.mark(atoms::exceeded(), most);
    }

    /// A consumer will not get so many events that it has lagged behind.
    pub fn lagged(&mut self, key: u64, dropped: u64) {
        self.mark(atoms::lagged(), (key, dropped));
    }

    /// A consumer is to be cancelled as it lags behind.
    pub fn lagging(&mut self, key: u64) {
        self.mark(atoms::lagging(), key);
    }

    pub fn stopped(&mut self, cause: &Error) {
        self.mark(atoms::stopped(), error::term(self.env, cause));
    }

    /// `last` is where the last event given out stands; what was looked at without any goes on from there.
    pub fn tell(&mut self, happened: Happened<Reached, Notice>, last: &mut Option<Position>) {
        match happened {
            Happened::Notice(Notice::Taken(after)) => self.mark(atoms::taken(), place(self.env, after)),
            Happened::Notice(Notice::Beyond(beyond)) => {
                self.mark(atoms::beyond(), self::beyond(self.env, beyond));
            }
            Happened::Notice(Notice::Dropped { cause, wait, was_taken }) => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.mark(atoms::dropped(), (error::term(self.env, &cause), wait, was_taken));
            }
            Happened::State(reached) => self.mark(atoms::state(), (state(reached), place(self.env, *last))),
            Happened::Mark(Reached::Checkpoint(at)) => {
                *last = (*last).max(Some(at));
                self.mark(atoms::checkpoint(), position(self.env, at));
            }
            Happened::Mark(Reached::Stopped(cause)) => self.stopped(&cause),
        }
    }

    fn mark(&mut self, kind: Atom, what: impl Encoder) {
        self.marks.push((kind, what).encode(self.env));
    }

    /// Whether there is nothing to say.
    pub fn is_silent(&self) -> bool {
        self.marks.is_empty()
    }

    /// What there is to say.
    pub fn marks(self) -> Vec<Term<'a>> {
        self.marks
    }

    /// What to do next: an atom, or `{next, hosted, marks}` when there is something for the BEAM to do.
    pub fn answer(self, rest: Rest) -> Term<'a> {
        let next = next(rest);
        if self.hosted.is_empty() && self.marks.is_empty() {
            next.encode(self.env)
        } else {
            (next, self.hosted, self.marks).encode(self.env)
        }
    }
}

/// What to do next.
pub fn next(rest: Rest) -> Atom {
    match rest {
        Rest::Wait => atoms::ok(),
        Rest::More => atoms::more(),
        Rest::Large => atoms::large(),
    }
}

/// `%{position: revision, last_revision: revision | nil}`
pub fn beyond(env: Env<'_>, beyond: Beyond) -> Term<'_> {
    let last = beyond.last.map(|last| position(env, last));
    let pairs =
        [(atoms::position(), position(env, beyond.position)), (atoms::last_revision(), last.encode(env))];
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// A position, or nil.
pub fn place(env: Env<'_>, at: Option<Position>) -> Term<'_> {
    at.map(|at| position(env, at)).encode(env)
}

/// A revision, or `{commit, prepare}`.
fn position(env: Env<'_>, position: Position) -> Term<'_> {
    match position {
        Position::Revision(revision) => revision.encode(env),
        Position::Log(LogPosition { commit, prepare }) => (commit, prepare).encode(env),
    }
}

pub fn state(activity: Activity) -> Atom {
    match activity {
        Activity::Connecting => atoms::connecting(),
        Activity::Reading => atoms::reading(),
        Activity::Subscribed => atoms::subscribed(),
        Activity::BackingOff => atoms::backing_off(),
        Activity::Stopped => atoms::stopped(),
    }
}
