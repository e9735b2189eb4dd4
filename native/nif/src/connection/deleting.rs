//! Deletions of streams.

use client::{Deletion, delete};
use rustler::{Atom, Env, NifResult, ResourceArc, Term};

use super::answer::Answer;
use super::{Appending, StoreConnection, answer, bytes, expectation, limit};
use crate::account::timed;
use crate::argument;

mod atoms {
    rustler::atoms! { soft, tombstone }
}

/// `deletion` is `:soft` or `:tombstone`.
#[rustler::nif]
fn event_store_delete<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    stream: Term<'a>,
    deletion: Term<'a>,
    (expect, time): Appending<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "event_store_delete");
    let kinds = [(atoms::soft(), Deletion::Soft), (atoms::tombstone(), Deletion::Tombstone)];
    let deletion = argument::one_of("deletion", deletion, &kinds)?;
    let (expectation, time) = (expectation(expect)?, limit(time)?);
    let stream = bytes("stream", stream)?;
    let connection = store.connection.clone();
    answer(env, reference, async move {
        match delete(&connection, stream, expectation, deletion, time).await {
            Ok(position) => Answer::Deleted(position),
            Err(failed) => Answer::NotDeleted(failed),
        }
    })
}
