//! Telling by a pattern which events a subscription wants.

use std::time::Instant;

use rustler::{Encoder, Env, Error, NifResult, Term};

use super::{atoms, items};
use crate::account::limits::LOOKING;
use crate::account::timed;
use crate::sys::Terms;

/// How many events one call looks at.
const CHUNK: u64 = 512;

/// How many events are looked at between two looks at the clock, once it is known that they are no large ones.
const CLOCKED: u64 = 16;

/// How many fields a pattern may have, and so how deep it may be: it is gone down on the stack. Patterns come from other
/// nodes too. `Penstock.Stage.SubscriptionFilter` knows the limit and calls with no others.
const MAX_FIELDS: usize = 64;

/// What is asked of one key of a map.
enum Field<'a> {
    Is(Term<'a>, Term<'a>),
    In(Term<'a>, Vec<Field<'a>>),
}

impl<'a> Field<'a> {
    /// As long as there are no more than may be; `left` counts down.
    fn decode(term: Term<'a>, left: &mut usize) -> NifResult<Self> {
        let (kind, key, value) = term.decode::<(rustler::Atom, Term<'a>, Term<'a>)>()?;
        *left = left.checked_sub(1).ok_or(Error::BadArg)?;
        if kind == atoms::is() {
            Ok(Self::Is(key, value))
        } else if kind == atoms::r#in() {
            Ok(Self::In(key, pattern(value, left)?))
        } else {
            Err(Error::BadArg)
        }
    }

    fn holds(&self, map: Term<'a>) -> bool {
        match self {
            Self::Is(key, value) => map.map_get(*key).is_ok_and(|found| found == *value),
            Self::In(key, fields) => map.map_get(*key).is_ok_and(|found| matches(fields, found)),
        }
    }
}

/// What a subscription wants of an event that is a map.
pub struct Pattern<'a>(Vec<Field<'a>>);

impl<'a> Pattern<'a> {
    /// From a list of fields, as long as there are no more than may be.
    pub fn decode(fields: Term<'a>) -> NifResult<Self> {
        let mut left = MAX_FIELDS;
        Ok(Self(pattern(fields, &mut left)?))
    }

    /// Whether a term is wanted.
    pub fn matches(&self, term: Term<'a>) -> bool {
        matches(&self.0, term)
    }
}

fn pattern<'a>(fields: Term<'a>, left: &mut usize) -> NifResult<Vec<Field<'a>>> {
    items(fields).map(|field| Field::decode(field?, left)).collect()
}

fn matches<'a>(fields: &[Field<'a>], term: Term<'a>) -> bool {
    if fields.is_empty() { term.is_map() } else { fields.iter().all(|field| field.holds(term)) }
}

/// Which of the first events match: `{wanted, unwanted, rest}`, with how many do not.
#[rustler::nif]
fn stage_filter<'a>(env: Env<'a>, fields: Term<'a>, events: Term<'a>) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "stage_filter");
    let started = Instant::now();
    let pattern = Pattern::decode(fields)?;
    let mut wanted = Terms::new(env);
    let (mut rest, mut unwanted) = (events, 0u64);
    for seen in 0..CHUNK {
        if (seen % CLOCKED == 0 || seen < CLOCKED && seen.is_power_of_two()) && started.elapsed() > LOOKING {
            break;
        }
        let Ok((event, tail)) = rest.list_get_cell() else { break };
        if pattern.matches(event) {
            wanted.push(event);
        } else {
            unwanted += 1;
        }
        rest = tail;
    }
    if !rest.is_list() {
        return Err(Error::BadArg);
    }
    Ok((wanted.list(0), unwanted, rest).encode(env))
}
