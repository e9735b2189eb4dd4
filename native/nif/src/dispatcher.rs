//! Dispatchers as terms: what a stage or a producer is started with, and how consumers take part in what is dealt.

use rustler::{Atom, NifResult, Term};
use stage_core::{
    AnyDispatcher, BroadcastDispatcher, DemandDispatcher, DemandOptions, Lag, Membership, PartitionDispatcher,
};

use crate::argument;

mod atoms {
    rustler::atoms! { nil, demand, broadcast, partition, block, cancel, drop_oldest }
}

/// More partitions than anybody has use for; `Penstock.PartitionDispatcher` refuses them by name.
const MOST_PARTITIONS: u64 = 10_000_000;

/// A dispatcher, and what of it not everybody takes.
pub struct Decoded<'a> {
    pub dispatcher: AnyDispatcher<u64>,
    /// What says how many events may leave in an interval; `nil` when any number may.
    pub rate: Term<'a>,
    /// What tells the partition of an event, as it came.
    pub by: Term<'a>,
}

/// From `:broadcast`, `{:demand, max_demand, seed, rate}` or `{:partition, count, by}`.
pub fn decode(term: Term<'_>) -> NifResult<Decoded<'_>> {
    const TAKES: &str = "{:demand, max_demand, seed, rate}, :broadcast or {:partition, count, by}";
    let nil = atoms::nil().to_term(term.get_env());
    if term.is_atom() && atoms::broadcast() == term {
        let dispatcher = AnyDispatcher::Broadcast(BroadcastDispatcher::new());
        return Ok(Decoded { dispatcher, rate: nil, by: nil });
    }
    if let Ok((kind, count, by)) = term.decode::<(Atom, Term<'_>, Term<'_>)>()
        && kind == atoms::partition()
    {
        let count = argument::size("partitions", count, 1..=MOST_PARTITIONS)?;
        let dispatcher = AnyDispatcher::Partition(PartitionDispatcher::new(count));
        return Ok(Decoded { dispatcher, rate: nil, by });
    }
    match term.decode::<(Atom, Term<'_>, Term<'_>, Term<'_>)>() {
        Ok((kind, max, seed, rate)) if kind == atoms::demand() => {
            let options = DemandOptions {
                max_demand: optional("max_demand", max)?,
                shuffle_first_deal: optional("the seed of the first deal", seed)?,
                rate: optional("rate", rate)?,
            };
            let dispatcher = AnyDispatcher::Demand(DemandDispatcher::new(options));
            Ok(Decoded { dispatcher, rate, by: nil })
        }
        _ => Err(argument::refused("dispatcher", term, TAKES)),
    }
}

fn optional(what: &str, term: Term<'_>) -> NifResult<Option<u64>> {
    if term.is_atom() && atoms::nil() == term {
        return Ok(None);
    }
    argument::number(what, term, 1..=u64::MAX).map(Some)
}

/// From `nil`, from `{:partition, number}`, or from how to lag behind a broadcast.
pub fn membership(how: Term<'_>) -> NifResult<Membership> {
    if how.is_atom() && atoms::nil() == how {
        return Ok(Membership::Demand);
    }
    let takes = "nil, {:partition, number}, :block, :cancel or {:drop_oldest, number}";
    let lags = [(atoms::block(), Lag::Block), (atoms::cancel(), Lag::Cancel)];
    if let Some((_, lag)) = lags.iter().find(|(name, _)| how.is_atom() && *name == how) {
        return Ok(Membership::Broadcast(*lag));
    }
    let (kind, number) = argument::any::<(Atom, u64)>("a subscription", how, takes)?;
    if kind == atoms::partition() {
        Ok(Membership::Partition(usize::try_from(number).unwrap_or(usize::MAX)))
    } else if kind == atoms::drop_oldest() {
        Ok(Membership::Broadcast(Lag::DropOldest(number)))
    } else {
        Err(argument::refused("a subscription", how, takes))
    }
}
