//! Telling by a pattern which events a subscription wants.

use rustler::{Encoder, Env, ListIterator, NifResult, Term};

use super::atoms;
use crate::sys::Terms;
use crate::timeslice;

/// How many events one call looks at.
const CHUNK: u64 = 512;

/// What is asked of one key of a map.
enum Field<'a> {
    Is(Term<'a>, Term<'a>),
    In(Term<'a>, Vec<Field<'a>>),
}

impl<'a> Field<'a> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (kind, key, value) = term.decode::<(rustler::Atom, Term<'a>, Term<'a>)>()?;
        Ok(if kind == atoms::is() { Self::Is(key, value) } else { Self::In(key, pattern(value)?) })
    }

    fn holds(&self, map: Term<'a>) -> bool {
        match self {
            Self::Is(key, value) => map.map_get(*key).is_ok_and(|found| found == *value),
            Self::In(key, fields) => map.map_get(*key).is_ok_and(|found| matches(fields, found)),
        }
    }
}

fn pattern(fields: Term<'_>) -> NifResult<Vec<Field<'_>>> {
    fields.decode::<ListIterator<'_>>()?.map(Field::decode).collect()
}

fn matches<'a>(fields: &[Field<'a>], term: Term<'a>) -> bool {
    if fields.is_empty() { term.is_map() } else { fields.iter().all(|field| field.holds(term)) }
}

/// Which of the first events match: `{wanted, unwanted, rest}`, with how many do not.
#[rustler::nif]
fn stage_sift<'a>(env: Env<'a>, fields: Term<'a>, events: Term<'a>) -> NifResult<Term<'a>> {
    let started = std::time::Instant::now();
    let fields = pattern(fields)?;
    let mut wanted = Terms::new(env);
    let (mut rest, mut unwanted) = (events, 0u64);
    for _ in 0..CHUNK {
        let Ok((event, tail)) = rest.list_get_cell() else { break };
        if matches(&fields, event) {
            wanted.push(event);
        } else {
            unwanted += 1;
        }
        rest = tail;
    }
    timeslice::report(env, started);
    Ok((wanted.list(0), unwanted, rest).encode(env))
}
