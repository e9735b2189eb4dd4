//! How large events are as a copy, before one is made.

use rustler::types::tuple::get_tuple;
use rustler::{Env, MapIterator, NifResult, Term, TermType};

use crate::account::limits::PARTS;
use crate::account::timed;
use crate::sys;

/// How many of the first events have, all together, no more parts than may be looked at. What a function holds cannot be
/// seen, so an event with one counts as too large.
///
/// Parts are counted as a copy has them, each as often as it is referred to, so however deep sharing goes, the work
/// is bounded.
#[rustler::nif]
fn stage_extent<'a>(env: Env<'a>, events: Term<'a>, most: u64) -> NifResult<u64> {
    let _timed = timed!(env, "stage_extent");
    let (mut rest, mut count) = (events, 0);
    let mut left = PARTS;
    let mut parts = Vec::new();
    while count < most && !rest.is_empty_list() {
        let (event, tail) = rest.list_get_cell()?;
        let Some(now) = within(event, left, &mut parts) else { break };
        left = now;
        rest = tail;
        count += 1;
    }
    Ok(count)
}

/// How many parts may still be looked at after those of one event.
fn within<'a>(event: Term<'a>, mut left: usize, parts: &mut Vec<Term<'a>>) -> Option<usize> {
    parts.clear();
    parts.push(event);
    while let Some(part) = parts.pop() {
        left = left.checked_sub(1)?;
        match part.get_type() {
            TermType::Tuple => {
                // known before its elements are copied
                if sys::arity(part)? > left {
                    return None;
                }
                parts.extend(get_tuple(part).ok()?);
            }
            TermType::Map => {
                let size = part.map_size().ok()?;
                if size > left {
                    return None;
                }
                for (key, value) in MapIterator::new(part)? {
                    parts.push(key);
                    parts.push(value);
                }
            }
            TermType::List => {
                // Cell by cell, so that a long list is not a deep one.
                if let Ok((head, tail)) = part.list_get_cell() {
                    parts.push(tail);
                    parts.push(head);
                }
            }
            TermType::Fun => return None,
            _ => {}
        }
        if parts.len() > left {
            return None;
        }
    }
    Some(left)
}
