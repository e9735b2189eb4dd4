//! What only an outlet with partitions does. Partitions are known by number.

use rustler::{Encoder, Env, NifResult, Term};
use stage_core::Queued;

use super::{Ref, atoms};

/// Deals `counts`, pairs of a partition and its number of events; for each, who gets how many of these, and
/// what that leaves over is queued. `none` of the events that were to be split have no partition.
#[rustler::nif]
fn stage_split(
    env: Env<'_>,
    outlet: Ref,
    counts: Vec<(usize, u64)>,
    none: u64,
) -> NifResult<Vec<Vec<(u64, u64)>>> {
    outlet.with(env, |state| {
        let partitions = state.outlet.dispatcher_mut().partitions()?;
        partitions.unrouted(none);
        Ok(counts.into_iter().map(|(partition, n)| partitions.route(partition, n)).collect())
    })
}

/// What a partition's queue has for its subscribers: pairs of a subscriber and a number of events, and `mark`
/// for each mark that no partition holds back any more.
#[rustler::nif]
fn stage_serve<'a>(env: Env<'a>, outlet: Ref, partition: usize) -> NifResult<Vec<Term<'a>>> {
    outlet.with(env, |state| {
        let partitions = state.outlet.dispatcher_mut().partitions()?;
        Ok(std::iter::from_fn(|| partitions.serve(partition))
            .map(|queued| match queued {
                Queued::Events(id, n) => (id, n).encode(env),
                Queued::Mark => atoms::mark().encode(env),
            })
            .collect())
    })
}

/// Puts a mark behind what partitions have queued; false when none has.
#[rustler::nif]
fn stage_mark_queues(env: Env<'_>, outlet: Ref) -> NifResult<bool> {
    outlet.with(env, |state| Ok(state.outlet.dispatcher_mut().partitions()?.mark()))
}
