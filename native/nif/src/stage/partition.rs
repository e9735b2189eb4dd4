//! What only an output with partitions does. Partitions are known by number.

use std::time::Instant;

use rustler::{Encoder, Env, Error, NifResult, Term};
use stage_core::{PartitionDispatcher, Queued};

use super::{DEALS, MANY_DEALS, StageOutput, State, atoms, items};
use crate::account::call;
use crate::sys::Terms;

/// So many partitions are split among in one call; with more of them events are dealt to one partition after another.
const MOST_COUNTS: usize = 1000;

/// Deals `counts`, a number of events for each partition, and queues what that leaves over; for each, who gets
/// how many: a subscriber when it gets them all, otherwise a list of pairs. When that ends with `more`, `stage_deal_to`
/// comes next for what it leaves over. `none` of the events that were to be split have no partition.
///
/// The events have been dealt for a split before, or `new` of them come straight from the source. Then `later` is
/// the answer, and nothing has changed, when not all of them can be split at once.
#[rustler::nif]
fn stage_split<'a>(
    env: Env<'a>,
    output: &StageOutput,
    new: u64,
    counts: Term<'a>,
    none: u64,
) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_split"), |state| {
        // Nothing is changed before all is known to be in order.
        state.partitions()?;
        let mut started = None;
        let mut known = Vec::with_capacity(16);
        for n in items(counts) {
            match known.len() {
                MANY_DEALS => started = Some(Instant::now()),
                MOST_COUNTS => return Err(Error::BadArg),
                _ => {}
            }
            known.push(n?.decode::<u64>()?);
        }
        if !state.take_in(new) {
            return Ok(atoms::later().encode(env));
        }
        let partitions = state.partitions()?;
        partitions.without_partition(none);
        let mut dealt = Vec::with_capacity(known.len());
        let mut most = DEALS;
        for (partition, n) in known.into_iter().enumerate() {
            dealt.push(deal_to(env, partitions, partition, n, &mut most)?);
        }
        if let Some(started) = started {
            state.meter.add(started.elapsed());
        }
        Ok(dealt.encode(env))
    })
}

/// As `stage_split`, for `n` events of one partition.
#[rustler::nif]
fn stage_deal_to<'a>(
    env: Env<'a>,
    output: &StageOutput,
    new: u64,
    partition: usize,
    n: u64,
) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_deal_to"), |state| {
        state.partitions()?;
        if !state.take_in(new) {
            return Ok(atoms::later().encode(env));
        }
        let started = Instant::now();
        let mut most = DEALS;
        let dealt = deal_to(env, state.partitions()?, partition, n, &mut most);
        if DEALS - most >= MANY_DEALS {
            state.meter.add(started.elapsed());
        }
        dealt
    })
}

impl State {
    /// Deals `new` events from the source for a split, if all of them can be.
    fn take_in(&mut self, new: u64) -> bool {
        if new > 0 {
            if !self.output.buffer().is_empty() || self.output.dispatcher().demand() < new {
                return false;
            }
            // There is demand for all of them, so this is one deal.
            let _dealt = self.output.emit(new).next();
        }
        true
    }
}

/// Whose `n` events of a partition are, in `most` deals at most, which are taken off that; a partition that there is not
/// is refused.
fn deal_to<'a>(
    env: Env<'a>,
    partitions: &mut PartitionDispatcher<u64>,
    partition: usize,
    n: u64,
    most: &mut usize,
) -> NifResult<Term<'a>> {
    let mut only = None;
    let mut pairs = Terms::new(env);
    let left = partitions.deal_up_to(partition, n, *most, |id, part| {
        *most = most.saturating_sub(1);
        if part == n {
            only = Some(id);
        } else {
            pairs.push((id, part).encode(env));
        }
    });
    if left.ok_or(Error::BadArg)? > 0 {
        pairs.push(atoms::more().encode(env));
    }
    Ok(only.map_or_else(|| pairs.list(0), |id| id.encode(env)))
}

/// Who has subscribed to a partition, if these are `limit` or more; nobody otherwise.
#[rustler::nif]
fn stage_holders(env: Env<'_>, output: &StageOutput, partition: usize, limit: usize) -> NifResult<Vec<u64>> {
    output.clocked(env, call!("stage_holders"), |state| {
        state.partitions()?.holders(partition, limit).ok_or(Error::BadArg)
    })
}

/// What a partition's queue has for its subscribers: pairs of a subscriber and a number of events, and `mark`
/// for each mark that no partition holds back any more. With `more` at the end it is to be served once more.
#[rustler::nif]
fn stage_serve<'a>(env: Env<'a>, output: &StageOutput, partition: usize) -> NifResult<Term<'a>> {
    output.clocked(env, call!("stage_serve"), |state| Ok(serve(env, state.partitions()?, partition)))
}

pub(super) fn serve<'a>(
    env: Env<'a>,
    partitions: &mut PartitionDispatcher<u64>,
    partition: usize,
) -> Term<'a> {
    let mut served = Terms::new(env);
    for queued in std::iter::from_fn(|| partitions.serve(partition)).take(DEALS) {
        served.push(match queued {
            Queued::Events(id, n) => (id, n).encode(env),
            Queued::Mark => atoms::mark().encode(env),
        });
    }
    if served.len() == DEALS {
        served.push(atoms::more().encode(env));
    }
    served.list(0)
}

/// Puts a mark behind what partitions have queued; false when none has.
#[rustler::nif]
fn stage_mark_queues(env: Env<'_>, output: &StageOutput) -> NifResult<bool> {
    output.with(env, call!("stage_mark_queues"), |state| Ok(state.partitions()?.mark()))
}
