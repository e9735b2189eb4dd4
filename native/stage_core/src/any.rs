use thiserror::Error;

use crate::{
    AlreadySubscribed, BroadcastDispatcher, DemandDispatcher, Dispatcher, Everyone, Lag, PartitionDispatcher,
    Share, Split, UnknownSubscriber,
};

/// Which dispatcher it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatcherKind {
    /// [`DemandDispatcher`]
    Demand,
    /// [`BroadcastDispatcher`]
    Broadcast,
    /// [`PartitionDispatcher`]
    Partition,
}

/// How a subscriber takes part in what is dealt; each dispatcher has a kind of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// By demand alone.
    Demand,
    /// In a broadcast, with what becomes of the others when it waits for fewer events than they do.
    Broadcast(Lag),
    /// In the partition of this number.
    Partition(usize),
}

/// Whom a deal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient<K> {
    /// One subscriber.
    One(K),
    /// All who are subscribed: each is told its [share](AnyDispatcher::share).
    Everyone,
    /// The events are to be [split by partition](PartitionDispatcher::deal_to).
    Split,
}

/// What else an ask has come to, beside the demand that it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credited {
    /// Nothing.
    Plain,
    /// It was larger than the largest ask that is expected, which this is.
    Exceeded(u64),
    /// The partition of this number has a queue: it is to be [served](PartitionDispatcher::serve) now.
    Queued(usize),
    /// The subscriber gets so many events at once that it has lagged behind a broadcast.
    Lagged(u64),
}

/// Why a dispatcher refuses a call; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DispatcherError {
    /// A subscriber of this key is there already.
    #[error(transparent)]
    AlreadySubscribed(#[from] AlreadySubscribed),
    /// No subscriber has this key.
    #[error(transparent)]
    UnknownSubscriber(#[from] UnknownSubscriber),
    /// There are fewer partitions.
    #[error("there is no partition {0}")]
    UnknownPartition(usize),
    /// The call, or the membership, is one of another dispatcher.
    #[error("the dispatcher is of another kind: {0:?}")]
    OtherKind(DispatcherKind),
}

/// One of the three dispatchers, chosen when it is made.
///
/// What all of them do is here. What only one of them does is asked of that one: [`by_demand`](Self::by_demand),
/// [`partitions`](Self::partitions).
#[derive(Debug)]
pub enum AnyDispatcher<K> {
    /// Every batch to the subscriber who has asked for most.
    Demand(DemandDispatcher<K>),
    /// Every event to every subscriber.
    Broadcast(BroadcastDispatcher<K>),
    /// Every event to a subscriber of its partition.
    Partition(PartitionDispatcher<K>),
}

impl<K: Copy + Ord> AnyDispatcher<K> {
    /// Which one it is.
    pub fn kind(&self) -> DispatcherKind {
        match self {
            Self::Demand(_) => DispatcherKind::Demand,
            Self::Broadcast(_) => DispatcherKind::Broadcast,
            Self::Partition(_) => DispatcherKind::Partition,
        }
    }

    /// Adds a subscriber who waits for nothing yet.
    pub fn subscribe(&mut self, key: K, membership: Membership) -> Result<(), DispatcherError> {
        match (self, membership) {
            (Self::Demand(dispatcher), Membership::Demand) => Ok(dispatcher.subscribe(key)?),
            (Self::Broadcast(dispatcher), Membership::Broadcast(lag)) => Ok(dispatcher.subscribe(key, lag)?),
            (Self::Partition(dispatcher), Membership::Partition(partition)) => {
                let there = dispatcher.subscribe(key, partition)?;
                if there { Ok(()) } else { Err(DispatcherError::UnknownPartition(partition)) }
            }
            (other, _) => Err(DispatcherError::OtherKind(other.kind())),
        }
    }

    /// Removes a subscriber and says how many events it still waited for. Others may then wait for more than before.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        match self {
            Self::Demand(dispatcher) => dispatcher.cancel(key),
            Self::Broadcast(dispatcher) => dispatcher.cancel(key),
            Self::Partition(dispatcher) => dispatcher.cancel(key),
        }
    }

    /// Notes that a subscriber waits for `n` events more, or that it did not want `n` of those dealt.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<Credited, UnknownSubscriber> {
        Ok(match self {
            Self::Demand(dispatcher) => {
                dispatcher.credit(key, n)?.map_or(Credited::Plain, Credited::Exceeded)
            }
            Self::Broadcast(dispatcher) => match dispatcher.credit(key, n)? {
                0 => Credited::Plain,
                served => Credited::Lagged(served),
            },
            Self::Partition(dispatcher) => {
                dispatcher.credit(key, n)?.map_or(Credited::Plain, Credited::Queued)
            }
        })
    }

    /// What is a subscriber's of a deal to [everyone](Recipient::Everyone), once it is known that it wants `n` of the
    /// `dealt` events; to be asked for every such deal and every subscriber that holds nobody up.
    pub fn share(&mut self, key: &K, dealt: u64, n: u64) -> Result<Share, DispatcherError> {
        match self {
            Self::Broadcast(dispatcher) => Ok(dispatcher.share(key, dealt, n)?),
            other => Err(DispatcherError::OtherKind(other.kind())),
        }
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
    pub fn demand_of(&self, key: &K) -> Option<u64> {
        match self {
            Self::Demand(dispatcher) => dispatcher.demand_of(key),
            Self::Broadcast(dispatcher) => dispatcher.demand_of(key),
            Self::Partition(dispatcher) => dispatcher.demand_of(key),
        }
    }

    /// How many events the source was asked for and has not brought.
    pub fn claimed(&self) -> u64 {
        match self {
            Self::Demand(dispatcher) => dispatcher.claimed(),
            Self::Broadcast(dispatcher) => dispatcher.claimed(),
            Self::Partition(dispatcher) => dispatcher.claimed(),
        }
    }

    /// The dispatcher by demand, if it is that one.
    pub fn by_demand(&mut self) -> Result<&mut DemandDispatcher<K>, DispatcherError> {
        match self {
            Self::Demand(dispatcher) => Ok(dispatcher),
            other => Err(DispatcherError::OtherKind(other.kind())),
        }
    }

    /// The dispatcher by partition, if it is that one.
    pub fn partitions(&mut self) -> Result<&mut PartitionDispatcher<K>, DispatcherError> {
        match self {
            Self::Partition(dispatcher) => Ok(dispatcher),
            other => Err(DispatcherError::OtherKind(other.kind())),
        }
    }

    /// How many subscribers there are, and partitions of which anything is noted: so much there is to free.
    pub fn noted(&self) -> usize {
        match self {
            Self::Demand(dispatcher) => dispatcher.subscribers(),
            Self::Broadcast(dispatcher) => dispatcher.subscribers(),
            Self::Partition(dispatcher) => dispatcher.noted(),
        }
    }
}

impl<K: Copy + Ord> Dispatcher for AnyDispatcher<K> {
    type To = Recipient<K>;

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

    fn deal_one(&mut self, available: u64) -> Option<(Recipient<K>, u64)> {
        match self {
            Self::Demand(dispatcher) => {
                dispatcher.deal_one(available).map(|(key, n)| (Recipient::One(key), n))
            }
            Self::Broadcast(dispatcher) => {
                dispatcher.deal_one(available).map(|(Everyone, n)| (Recipient::Everyone, n))
            }
            Self::Partition(dispatcher) => {
                dispatcher.deal_one(available).map(|(Split, n)| (Recipient::Split, n))
            }
        }
    }

    fn deal_ahead(&mut self) -> Option<(Recipient<K>, u64)> {
        match self {
            Self::Demand(dispatcher) => dispatcher.deal_ahead().map(|(key, n)| (Recipient::One(key), n)),
            Self::Broadcast(dispatcher) => {
                dispatcher.deal_ahead().map(|(Everyone, n)| (Recipient::Everyone, n))
            }
            Self::Partition(dispatcher) => dispatcher.deal_ahead().map(|(Split, n)| (Recipient::Split, n)),
        }
    }

    fn take_back(&mut self, to: Recipient<K>, n: u64) {
        match (self, to) {
            (Self::Demand(dispatcher), Recipient::One(key)) => dispatcher.take_back(key, n),
            (Self::Broadcast(dispatcher), Recipient::Everyone) => dispatcher.take_back(Everyone, n),
            (Self::Partition(dispatcher), Recipient::Split) => dispatcher.take_back(Split, n),
            // what another dispatcher has dealt is none of this one's
            (_, _) => {}
        }
    }
}
