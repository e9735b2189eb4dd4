use std::cmp::Reverse;

use thiserror::Error;

use crate::dispatcher::{Claimed, Dispatcher};
use crate::ranked::Ranked;

/// A subscriber of this key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is a subscriber of this key already")]
pub struct AlreadySubscribed;

/// No subscriber has this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no subscriber of this key")]
pub struct UnknownSubscriber;

/// How a [`DemandDispatcher`] behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DemandOptions {
    /// The largest ask that is expected; `None` takes the first ask for it.
    pub max_demand: Option<u64>,
    /// A seed, when subscribers of equal demand are to be served in random order at the first deal.
    pub shuffle_first_deal: Option<u64>,
    /// How many events may leave until the next [refill](DemandDispatcher::refill); any number without.
    pub rate: Option<u64>,
}

/// What an ask amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// How many events to ask the source for on top of what it was asked for before.
    pub upstream: u64,
    /// The expected largest ask, when this one was larger.
    pub exceeded: Option<u64>,
}

/// Highest demand first; among equals, who has waited longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    demand: u64,
    since: Reverse<u64>,
}

/// Places of a shuffled first deal are below this, later ones above.
const SHUFFLED: u64 = 1 << 62;

/// Gives every batch to the subscriber who has asked for most.
///
/// It keeps two sums: what living subscribers still wait for, and what the source was asked for and has
/// not brought yet. The second never grows beyond the first, so demand that a cancelled subscriber
/// leaves behind serves the next one instead of being asked for twice.
#[derive(Debug, Clone)]
pub struct DemandDispatcher<K> {
    subscribers: Ranked<K, Rank>,
    /// Counts the times that a subscriber was given its place, to tell who has waited longer.
    turns: u64,
    demand: u64,
    claimed: Claimed,
    max_demand: Option<u64>,
    /// Until the first deal, when subscribers of equal demand are to be served in random order then.
    shuffle: Option<fastrand::Rng>,
    rate: Option<u64>,
    /// What of the rate is left.
    left: u64,
}

impl<K: Copy + Ord> Default for DemandDispatcher<K> {
    fn default() -> Self {
        Self::new(DemandOptions::default())
    }
}

impl<K: Copy + Ord> DemandDispatcher<K> {
    /// A dispatcher without subscribers.
    pub fn new(options: DemandOptions) -> Self {
        Self {
            subscribers: Ranked::default(),
            turns: SHUFFLED,
            demand: 0,
            claimed: Claimed::default(),
            max_demand: options.max_demand,
            shuffle: options.shuffle_first_deal.map(fastrand::Rng::with_seed),
            rate: options.rate,
            left: options.rate.unwrap_or(u64::MAX),
        }
    }

    /// Adds a subscriber who waits for nothing yet.
    pub fn subscribe(&mut self, key: K) -> Result<(), AlreadySubscribed> {
        let rank = self.rank(0);
        if self.subscribers.insert(key, rank) { Ok(()) } else { Err(AlreadySubscribed) }
    }

    /// Removes a subscriber and says how many events it still waited for.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        let Rank { demand, .. } = self.subscribers.remove(key)?;
        self.demand = self.demand.saturating_sub(demand);
        Some(demand)
    }

    /// [`credit`](Self::credit) and [`claim`](Dispatcher::claim) in one, for a source without a buffer before it.
    pub fn ask(&mut self, key: &K, n: u64) -> Result<Asked, UnknownSubscriber> {
        let exceeded = self.credit(key, n)?;
        Ok(Asked { upstream: self.claim(), exceeded })
    }

    /// Notes that a subscriber waits for `n` events more; the expected largest ask comes back when this
    /// one was larger.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<Option<u64>, UnknownSubscriber> {
        let Rank { demand, .. } = self.subscribers.rank(key).ok_or(UnknownSubscriber)?;
        let max = *self.max_demand.get_or_insert(n);
        // Sums saturate together, so that a subscriber's part never exceeds the whole.
        let n = n.min(u64::MAX - self.demand);
        self.demand += n;
        let rank = self.rank(demand + n);
        self.subscribers.set(key, rank);
        Ok((n > max).then_some(max))
    }

    /// How many events may leave: what subscribers wait for, all together, as far as the rate allows.
    pub fn demand(&self) -> u64 {
        self.demand.min(self.left)
    }

    /// Lets as many events leave as the rate has, and none of those that could have left before.
    pub fn refill(&mut self) {
        self.left = self.rate.unwrap_or(u64::MAX);
    }

    /// Whether events have left since the last refill, and the rate counts them.
    pub fn is_counting(&self) -> bool {
        self.rate.is_some_and(|rate| self.left < rate)
    }

    /// How many events the source was asked for and has not brought.
    pub fn claimed(&self) -> u64 {
        self.claimed.get()
    }

    /// How many events one subscriber waits for.
    pub fn demand_of(&self, key: &K) -> Option<u64> {
        self.subscribers.rank(key).map(|rank| rank.demand)
    }

    /// Who they are, in no order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.subscribers.keys()
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// The place behind those who wait for as much already; any place among them before a first deal that is shuffled,
    /// so that nothing is left to be shuffled then.
    fn rank(&mut self, demand: u64) -> Rank {
        let since = match &mut self.shuffle {
            Some(random) => random.u64(0..SHUFFLED),
            None => {
                self.turns += 1;
                self.turns
            }
        };
        Rank { demand, since: Reverse(since) }
    }
}

impl<K: Copy + Ord> Dispatcher for DemandDispatcher<K> {
    type To = K;

    fn claim(&mut self) -> u64 {
        let demand = self.demand();
        self.claimed.claim(demand)
    }

    fn arrived(&mut self, n: u64) {
        self.claimed.arrived(n);
    }

    fn deal_one(&mut self, available: u64) -> Option<(K, u64)> {
        let available = available.min(self.left);
        if available == 0 || self.demand == 0 {
            return None;
        }
        self.shuffle = None;
        let (key, Rank { demand, .. }) = self.subscribers.first()?;
        let n = demand.min(available);
        self.demand -= n;
        if self.rate.is_some() {
            self.left -= n;
        }
        let rank = self.rank(demand - n);
        self.subscribers.set_first(rank);
        Some((key, n))
    }

    fn deal_ahead(&mut self) -> Option<(K, u64)> {
        let (_, Rank { demand: n, .. }) = self.subscribers.first()?;
        if n != self.demand || self.claimed.get() > 0 || self.shuffle.is_some() || self.rate.is_some() {
            return None;
        }
        self.deal_one(n)
    }

    fn take_back(&mut self, to: K, n: u64) {
        let Some(Rank { demand, .. }) = self.subscribers.rank(&to) else { return };
        let n = n.min(u64::MAX - self.demand);
        self.demand += n;
        let rank = self.rank(demand + n);
        self.subscribers.set(&to, rank);
        self.claim();
    }
}
