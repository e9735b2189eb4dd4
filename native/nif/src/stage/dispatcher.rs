//! Dispatchers as terms: what a stage is started and subscribed to with, and whom its events are for.

use rustler::{Decoder, Encoder, Env, Error, NifResult, Term};
use stage_core::{
    AnyDispatcher, BroadcastDispatcher, DemandDispatcher, DemandOptions, DispatcherKind, Lag, Membership,
    PartitionDispatcher, Recipient,
};

use super::atoms;

/// More partitions than anybody has use for; `Penstock.PartitionDispatcher` refuses them by name.
const MOST_PARTITIONS: usize = 10_000_000;

/// From `{:demand, max_demand, seed, rate}`, `:broadcast` or `{:partition, count}`.
pub fn decode(term: Term<'_>) -> NifResult<AnyDispatcher<u64>> {
    if term.is_atom() && atoms::broadcast() == term {
        return Ok(AnyDispatcher::Broadcast(BroadcastDispatcher::new()));
    }
    if let Ok((kind, count)) = term.decode::<(rustler::Atom, usize)>()
        && kind == atoms::partition()
    {
        return if count <= MOST_PARTITIONS {
            Ok(AnyDispatcher::Partition(PartitionDispatcher::new(count)))
        } else {
            Err(Error::BadArg)
        };
    }
    let (kind, max, seed, rate) = term.decode::<(rustler::Atom, Term<'_>, Term<'_>, Term<'_>)>()?;
    if kind != atoms::demand() {
        return Err(Error::BadArg);
    }
    Ok(AnyDispatcher::Demand(DemandDispatcher::new(DemandOptions {
        max_demand: super::optional(max, atoms::nil())?,
        shuffle_first_deal: super::optional(seed, atoms::nil())?,
        rate: super::optional(rate, atoms::nil())?,
    })))
}

/// From the number of a partition, from how to lag behind a broadcast, or from `nil`.
pub fn membership(kind: DispatcherKind, how: Term<'_>) -> NifResult<Membership> {
    match kind {
        DispatcherKind::Demand if how.is_atom() && atoms::nil() == how => Ok(Membership::Demand),
        DispatcherKind::Demand => Err(Error::BadArg),
        DispatcherKind::Broadcast => Ok(Membership::Broadcast(lag(how)?)),
        DispatcherKind::Partition => Ok(Membership::Partition(how.decode()?)),
    }
}

/// From `:block`, `:cancel` or `{:drop_oldest, n}`.
fn lag(term: Term<'_>) -> NifResult<Lag> {
    if let Ok((kind, limit)) = term.decode::<(rustler::Atom, u64)>() {
        return if kind == atoms::drop_oldest() { Ok(Lag::DropOldest(limit)) } else { Err(Error::BadArg) };
    }
    let lag = term.decode::<rustler::Atom>()?;
    if lag == atoms::block() {
        Ok(Lag::Block)
    } else if lag == atoms::cancel() {
        Ok(Lag::Cancel)
    } else {
        Err(Error::BadArg)
    }
}

/// Whom a deal is for, as a term: the number of a subscriber, `everyone`, or `split`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct To(pub Recipient<u64>);

impl<'a> Decoder<'a> for To {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match term.decode() {
            Ok(id) => Ok(Self(Recipient::One(id))),
            Err(_) if atoms::everyone() == term => Ok(Self(Recipient::Everyone)),
            Err(_) if atoms::split() == term => Ok(Self(Recipient::Split)),
            Err(_) => Err(Error::BadArg),
        }
    }
}

impl Encoder for To {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self.0 {
            Recipient::One(id) => id.encode(env),
            Recipient::Everyone => atoms::everyone().encode(env),
            Recipient::Split => atoms::split().encode(env),
        }
    }
}
