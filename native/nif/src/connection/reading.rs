//! Reads: what is read, from where, and how much of it.

use client::{Direction, From, LogPosition, Read, ReadLimits, Time, What, read_events};
use rustler::{Atom, Env, NifResult, ResourceArc, Term};

use super::answer::{Answer, Events};
use super::{StoreConnection, answer, bytes, limit};
use crate::account::timed;
use crate::{argument, log};

mod atoms {
    rustler::atoms! { start, end, forwards, backwards, nil, all, stream }
}

/// `{:stream, name, from}` or `{:all, from, filter | nil}`.
type Target<'a> = (Term<'a>, Term<'a>, Term<'a>);
/// Which way, how many, with links resolved, with bodies decoded, the largest message, how many bytes, how long.
type Reading<'a> = (Term<'a>, Term<'a>, bool, bool, Term<'a>, Term<'a>, Term<'a>);

#[rustler::nif]
fn event_store_read<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    target: Target<'a>,
    reading: Reading<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "event_store_read");
    let (direction, count, resolve_links, decode, message, page, time) = reading;
    let directions = [(atoms::forwards(), Direction::Forwards), (atoms::backwards(), Direction::Backwards)];
    let read = Read {
        what: what(target)?,
        direction: argument::one_of("direction", direction, &directions)?,
        count: argument::number("max_count", count, 0..=u64::MAX)?,
        resolve_links,
    };
    let limits = ReadLimits {
        message: argument::number("max_message_size", message, 1..=u64::from(u32::MAX))?,
        page: if page.is_atom() && atoms::nil() == page {
            None
        } else {
            Some(argument::number("page_bytes", page, 1..=u64::MAX)?)
        },
        timeout: match limit(time)? {
            Time::Limited(timeout) => Some(timeout),
            Time::OfConnection | Time::Endless => None,
        },
    };
    let connection = store.connection.clone();
    answer(env, reference, async move {
        match read_events(&connection, &read, limits).await {
            Ok(Some(page)) => Answer::Events(Events {
                messages: page.events.into_iter(),
                decode,
                last_revision: page.last_revision,
                is_full: page.is_full,
            }),
            Ok(None) => Answer::Missing(read.name()),
            Err(error) => Answer::Failed(error),
        }
    })
}

fn what((kind, first, second): Target<'_>) -> NifResult<What> {
    match argument::one_of("the kind of a read", kind, &[(atoms::stream(), false), (atoms::all(), true)])? {
        false => Ok(What::Stream { name: bytes("stream", first)?, from: revision(second)? }),
        true => Ok(What::All { from: place(first)?, filter: log::maybe_filter(second)? }),
    }
}

fn revision(from: Term<'_>) -> NifResult<From> {
    let named = [(atoms::start(), From::Start), (atoms::end(), From::End)];
    argument::one_of_or_revision("from", from, &named, From::At)
}

fn place(from: Term<'_>) -> NifResult<From<LogPosition>> {
    if let Some(position) = log::position(from) {
        return Ok(From::At(position));
    }
    let named = [(atoms::start(), From::Start), (atoms::end(), From::End)];
    argument::one_of("from", from, &named)
}
