use rustler::{Encoder, Env, Error, NifResult, Term};
use stage_core::{
    BroadcastDispatcher, DemandDispatcher, DemandOptions, Dispatcher, Everyone, Lag, PartitionDispatcher,
    Share,
};

use super::atoms;

/// The dispatcher of a producer, whichever it is.
pub enum Route {
    Demand(DemandDispatcher<u64>),
    Broadcast(BroadcastDispatcher<u64>),
    Partition(PartitionDispatcher<u64>),
}

/// More partitions than anybody has use for; `Penstock.PartitionDispatcher` refuses them by name.
const MOST_PARTITIONS: usize = 10_000_000;

/// Whom a deal is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum To {
    One(u64),
    Everyone,
    Split,
}

impl To {
    /// From the number of a subscriber, or `everyone`.
    pub fn decode(term: Term<'_>) -> NifResult<Self> {
        match term.decode() {
            Ok(id) => Ok(Self::One(id)),
            Err(_) if atoms::everyone() == term => Ok(Self::Everyone),
            Err(_) => Err(Error::BadArg),
        }
    }
}

impl Encoder for To {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::One(id) => id.encode(env),
            Self::Everyone => atoms::everyone().encode(env),
            Self::Split => atoms::split().encode(env),
        }
    }
}

/// What an ask has come to: the expected largest ask when this one was larger, and the number of the
/// partition whose queue is to be served, or how many events the subscriber gets that it lagged behind.
#[derive(Default)]
pub struct Credited {
    pub exceeded: Option<u64>,
    pub queue: Option<usize>,
    pub lagged: u64,
}

impl Credited {
    /// Whether it has come to nothing of these.
    pub fn is_plain(&self) -> bool {
        self.exceeded.is_none() && self.queue.is_none() && self.lagged == 0
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

impl Route {
    /// From `{:demand, max_demand, seed, rate}`, `:broadcast` or `{:partition, count}`.
    pub fn decode(term: Term<'_>) -> NifResult<Self> {
        if term.is_atom() && atoms::broadcast() == term {
            return Ok(Self::Broadcast(BroadcastDispatcher::new()));
        }
        if let Ok((kind, count)) = term.decode::<(rustler::Atom, usize)>()
            && kind == atoms::partition()
        {
            return if count <= MOST_PARTITIONS {
                Ok(Self::Partition(PartitionDispatcher::new(count)))
            } else {
                Err(Error::BadArg)
            };
        }
        let (kind, max, seed, rate) = term.decode::<(rustler::Atom, Term<'_>, Term<'_>, Term<'_>)>()?;
        if kind != atoms::demand() {
            return Err(Error::BadArg);
        }
        let options = DemandOptions {
            max_demand: super::optional(max, atoms::nil())?,
            shuffle_first_deal: super::optional(seed, atoms::nil())?,
            rate: super::optional(rate, atoms::nil())?,
        };
        Ok(Self::Demand(DemandDispatcher::new(options)))
    }

    /// Adds a subscriber: of a partition if there are any, and to a broadcast with how it may lag.
    pub fn subscribe(&mut self, id: u64, how: Term<'_>) -> NifResult<()> {
        let subscribed = match self {
            Self::Demand(dispatcher) => dispatcher.subscribe(id).map(|()| true),
            Self::Broadcast(dispatcher) => dispatcher.subscribe(id, lag(how)?).map(|()| true),
            Self::Partition(dispatcher) => dispatcher.subscribe(id, how.decode()?),
        };
        if subscribed == Ok(true) { Ok(()) } else { Err(Error::BadArg) }
    }

    /// Removes a subscriber; false when it is not there.
    pub fn cancel(&mut self, id: u64) -> bool {
        match self {
            Self::Demand(dispatcher) => dispatcher.cancel(&id),
            Self::Broadcast(dispatcher) => dispatcher.cancel(&id),
            Self::Partition(dispatcher) => dispatcher.cancel(&id),
        }
        .is_some()
    }

    /// Notes what a subscriber waits for on top.
    pub fn credit(&mut self, id: u64, n: u64) -> NifResult<Credited> {
        let none = Credited::default();
        match self {
            Self::Demand(dispatcher) => {
                dispatcher.credit(&id, n).map(|exceeded| Credited { exceeded, ..none })
            }
            Self::Broadcast(dispatcher) => {
                dispatcher.credit(&id, n).map(|lagged| Credited { lagged, ..none })
            }
            Self::Partition(dispatcher) => dispatcher.credit(&id, n).map(|queue| Credited { queue, ..none }),
        }
        .map_err(|_| Error::BadArg)
    }

    /// How many events may leave.
    pub fn demand(&self) -> u64 {
        match self {
            Self::Demand(dispatcher) => dispatcher.demand(),
            Self::Broadcast(dispatcher) => dispatcher.demand(),
            Self::Partition(dispatcher) => dispatcher.demand(),
        }
    }

    /// How many events one subscriber waits for.
    pub fn demand_of(&self, id: u64) -> u64 {
        match self {
            Self::Demand(dispatcher) => dispatcher.demand_of(&id),
            Self::Broadcast(dispatcher) => dispatcher.demand_of(&id),
            Self::Partition(dispatcher) => dispatcher.demand_of(&id),
        }
        .unwrap_or(0)
    }

    /// How many partitions there is anything noted of.
    pub fn partitions_noted(&self) -> usize {
        match self {
            Self::Partition(dispatcher) => dispatcher.noted(),
            _ => 0,
        }
    }

    /// The dispatcher by demand.
    pub fn by_demand(&mut self) -> NifResult<&mut DemandDispatcher<u64>> {
        match self {
            Self::Demand(dispatcher) => Ok(dispatcher),
            _ => Err(Error::BadArg),
        }
    }

    /// What is a subscriber's of a broadcast.
    pub fn share(&mut self, id: u64, dealt: u64, n: u64) -> NifResult<Share> {
        match self {
            Self::Broadcast(dispatcher) => dispatcher.share(&id, dealt, n).map_err(|_| Error::BadArg),
            _ => Err(Error::BadArg),
        }
    }

    /// The dispatcher of partitions.
    pub fn partitions(&mut self) -> NifResult<&mut PartitionDispatcher<u64>> {
        match self {
            Self::Partition(dispatcher) => Ok(dispatcher),
            _ => Err(Error::BadArg),
        }
    }
}

impl Dispatcher for Route {
    type To = To;

    fn claim(&mut self) -> u64 {
        match self {
            Self::Demand(dispatcher) => dispatcher.claim(),
            Self::Broadcast(dispatcher) => dispatcher.claim(),
            Self::Partition(dispatcher) => dispatcher.claim(),
        }
    }

    fn arrived(&mut self, n: u64) {
        match self {
            Self::Demand(dispatcher) => dispatcher.arrived(n),
            Self::Broadcast(dispatcher) => dispatcher.arrived(n),
            Self::Partition(dispatcher) => dispatcher.arrived(n),
        }
    }

    fn deal_one(&mut self, available: u64) -> Option<(To, u64)> {
        match self {
            Self::Demand(dispatcher) => dispatcher.deal_one(available).map(|(id, n)| (To::One(id), n)),
            Self::Broadcast(dispatcher) => dispatcher.deal_one(available).map(|(_, n)| (To::Everyone, n)),
            Self::Partition(dispatcher) => dispatcher.deal_one(available).map(|(_, n)| (To::Split, n)),
        }
    }

    fn deal_ahead(&mut self) -> Option<(To, u64)> {
        match self {
            Self::Demand(dispatcher) => dispatcher.deal_ahead().map(|(id, n)| (To::One(id), n)),
            Self::Broadcast(dispatcher) => dispatcher.deal_ahead().map(|(_, n)| (To::Everyone, n)),
            Self::Partition(_) => None,
        }
    }

    fn take_back(&mut self, to: To, n: u64) {
        match (self, to) {
            (Self::Demand(dispatcher), To::One(id)) => dispatcher.take_back(id, n),
            (Self::Broadcast(dispatcher), To::Everyone) => dispatcher.take_back(Everyone, n),
            _ => {}
        }
    }
}
