//! What a short call came to, as it came, and how it becomes terms: in calls of whoever asked, slice by slice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

use bytes::Bytes;
use client::{Appended, WriteError};
use producer_core::Budget;
use rustler::{Atom, Encoder, Env, Resource, ResourceArc, Term};
use wire::error::Error;

use crate::account::limits::SLOW_TO_FREE;
use crate::account::{budget, timed};
use crate::deferred_drop::drop_later;
use crate::error;
use crate::event_term::{Bodies, Encoder as EventEncoder, readable};
use crate::frame::Frame;

mod atoms {
    rustler::atoms! { appended, deleted, events, more, large, error, nil, revision, position }
}

/// What a call came to; each part of it is given once.
pub enum Answer {
    Appended(Appended),
    NotAppended(WriteError),
    /// Where in the log that stands.
    Deleted(Option<(u64, u64)>),
    NotDeleted(WriteError),
    Events(Events),
    /// There is no stream of this name.
    Missing(String),
    Failed(Error),
    Panicked,
    Lost,
}

/// What a read came to.
pub struct Events {
    /// The messages, in order.
    pub messages: IntoIter<Bytes>,
    pub decode: bool,
    /// The last revision of the stream that was read, if that is known.
    pub last_revision: Option<u64>,
    /// It ended before the read did.
    pub is_full: bool,
}

impl Answer {
    /// How many bytes of text a caller is given at once.
    fn text(&self) -> usize {
        match self {
            Self::Appended(_) | Self::Deleted(_) | Self::Events(_) | Self::Panicked | Self::Lost => 0,
            Self::NotAppended(failed) | Self::NotDeleted(failed) => failed.error.to_string().len(),
            Self::Missing(name) => name.len(),
            Self::Failed(error) => error.to_string().len(),
        }
    }
}

/// An answer on its way to its caller, and how much text it has.
pub struct CallAnswer {
    answer: Mutex<Answer>,
    text: usize,
}

#[rustler::resource_impl]
impl Resource for CallAnswer {}

impl CallAnswer {
    /// Not for a scheduler: it looks at all of an error's text.
    pub fn new(answer: Answer) -> ResourceArc<Self> {
        let text = answer.text();
        ResourceArc::new(Self { answer: Mutex::new(answer), text })
    }
}

impl Drop for CallAnswer {
    /// What nobody took is freed where no scheduler waits for it.
    fn drop(&mut self) {
        let _timed = timed!(free "event_store_answer_free");
        let answer = self.answer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Answer::Events(Events { messages, .. }) = answer
            && messages.len() >= SLOW_TO_FREE
        {
            drop_later(std::mem::take(messages));
        }
    }
}

/// What comes next of an answer, for a caller that has been `given` events, the last one first:
///
/// - `{:appended, map}`, `{:deleted, position}`, `{:error, error}`: that is all;
/// - `{:events, given, last_revision, full?}`: these were the last ones; `{:more, given}`: there are more;
/// - `{:large, given}`: what comes next takes longer than an ordinary call may.
#[rustler::nif]
fn event_store_answer<'a>(env: Env<'a>, answer: ResourceArc<CallAnswer>, given: Term<'a>) -> Term<'a> {
    let _timed = timed!(env, "event_store_answer");
    give(env, &answer, given, budget::ordinary())
}

/// The same for what takes long.
#[rustler::nif(schedule = "DirtyCpu")]
fn event_store_answer_dirty<'a>(env: Env<'a>, answer: ResourceArc<CallAnswer>, given: Term<'a>) -> Term<'a> {
    let _timed = timed!(dirty "event_store_answer_dirty");
    give(env, &answer, given, budget::dirty())
}

/// A caller is given an answer, whatever panics on the way.
fn give<'a>(env: Env<'a>, answer: &CallAnswer, given: Term<'a>, budget: Budget) -> Term<'a> {
    let next = catch_unwind(AssertUnwindSafe(|| next(env, answer, given, budget)));
    next.unwrap_or_else(|_| failure(env, error::panicked(env, "the answer")))
}

fn next<'a>(env: Env<'a>, answer: &CallAnswer, given: Term<'a>, mut budget: Budget) -> Term<'a> {
    // one who panicked over it was told so, and may not have the rest
    let Ok(mut held) = answer.answer.lock() else {
        return failure(env, error::panicked(env, "the answer"));
    };
    if answer.text > 0 && !budget.affords(budget::copy(answer.text)) {
        return (atoms::large(), given).encode(env);
    }
    match &mut *held {
        Answer::Appended(Appended { revision, position }) => {
            let pairs =
                [(atoms::revision(), revision.encode(env)), (atoms::position(), position.encode(env))];
            let map = Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env));
            (atoms::appended(), map).encode(env)
        }
        Answer::Deleted(position) => (atoms::deleted(), *position).encode(env),
        Answer::Events(events) => match slice(env, &mut events.messages, events.decode, given, budget) {
            Ok((next, given)) if next == atoms::events() => {
                (next, given, events.last_revision, events.is_full).encode(env)
            }
            Ok((next, given)) => (next, given).encode(env),
            Err(cause) => failure(env, error::term(env, &cause)),
        },
        Answer::NotDeleted(failed) => failure(env, error::deletion_term(env, failed)),
        Answer::NotAppended(failed) => failure(env, error::append_term(env, failed)),
        Answer::Missing(name) => failure(env, error::stream_not_found(env, name)),
        Answer::Failed(cause) => failure(env, error::term(env, cause)),
        Answer::Panicked => failure(env, error::panicked(env, "the call")),
        Answer::Lost => failure(env, error::lost(env)),
    }
}

fn failure<'a>(env: Env<'a>, error: Term<'a>) -> Term<'a> {
    (atoms::error(), error).encode(env)
}

/// The next events, before those that were given, and what is to be done next.
fn slice<'a>(
    env: Env<'a>,
    messages: &mut IntoIter<Bytes>,
    decode: bool,
    mut given: Term<'a>,
    mut budget: Budget,
) -> Result<(Atom, Term<'a>), Error> {
    let left = messages.len();
    let afforded = messages
        .as_slice()
        .iter()
        .take_while(|message| budget.affords(budget::event(decode, message)))
        .count();
    if afforded == 0 && left > 0 {
        return Ok((atoms::large(), given));
    }
    // a body keeps no more in memory than the events of its slice
    let frame = Frame::new(messages.by_ref().take(afforded).collect());
    let nil = atoms::nil().encode(env);
    let mut encoder = EventEncoder::new(env, &frame, Bodies { decode, copy: false }, nil, nil);
    for (index, message) in frame.messages().iter().enumerate() {
        given = given.list_prepend(encoder.event(index, &readable(message)?));
    }
    Ok((if afforded == left { atoms::events() } else { atoms::more() }, given))
}
