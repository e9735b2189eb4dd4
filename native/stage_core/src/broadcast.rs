use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::dispatcher::{Claimed, Dispatcher};
use crate::ranked::Ranked;
use crate::{AlreadySubscribed, UnknownSubscriber};

/// What becomes of the others when a subscriber waits for fewer events than they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lag {
    /// They wait for it.
    #[default]
    Block,
    /// They go on. What it doesn't wait for is queued, and of that queue the newest so many are kept.
    DropOldest(u64),
    /// They go on without it.
    Cancel,
}

/// A subscriber's share of a deal, when it [holds nobody up](Lag).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// It waits for all of them.
    All,
    /// It waits for the first `now`; the rest joins its queue, of which the oldest `dropped` then go.
    Part {
        /// How many go out at once.
        now: u64,
        /// How many go for good.
        dropped: u64,
    },
    /// It doesn't wait for them, and is to be cancelled for that.
    Cancel,
}

/// No subscriber waits for more than this, so that sums stay numbers.
const MOST: u64 = u64::MAX / 4;

/// What there is to know of a subscriber that holds nobody up.
#[derive(Debug, Clone, Copy)]
struct Lagging {
    lag: Lag,
    /// 0 while anything is queued.
    demand: u64,
    queued: u64,
    /// How many of the events that were ever dealt it has been told its share of.
    told: u64,
}

/// Whom a broadcast is for: all who are subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Everyone;

/// Gives every event to every subscriber, as many as the one who waits for fewest waits for; of subscribers that
/// hold nobody up, and are alone, as many as the one who waits for most.
///
/// A new subscriber waits for nothing, so it holds the others up until it asks; what they asked for before is
/// not forgotten, and the source is not asked for it again.
#[derive(Debug, Clone)]
pub struct BroadcastDispatcher<K> {
    /// How many events were ever dealt. What a subscriber waits for is kept as a sum with this, so that a deal, which
    /// takes as much from all of them, changes one number.
    dealt: u64,
    /// Those who hold the others up, who waits for fewest first: up to which deal they have asked.
    blocking: Ranked<K, Reverse<u64>>,
    /// Those who do not, who waits for most first.
    lagging: Ranked<K, u64>,
    details: BTreeMap<K, Lagging>,
    claimed: Claimed,
}

impl<K> Default for BroadcastDispatcher<K> {
    fn default() -> Self {
        Self {
            dealt: 0,
            blocking: Ranked::default(),
            lagging: Ranked::default(),
            details: BTreeMap::new(),
            claimed: Claimed::default(),
        }
    }
}

impl<K: Copy + Ord> BroadcastDispatcher<K> {
    /// A dispatcher without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscriber who waits for nothing yet.
    pub fn subscribe(&mut self, key: K, lag: Lag) -> Result<(), AlreadySubscribed> {
        if self.blocking.contains(&key) || self.lagging.contains(&key) {
            return Err(AlreadySubscribed);
        }
        if lag == Lag::Block {
            self.blocking.insert(key, Reverse(self.dealt));
        } else {
            self.lagging.insert(key, self.dealt);
            self.details.insert(key, Lagging { lag, demand: 0, queued: 0, told: self.dealt });
        }
        Ok(())
    }

    /// Removes a subscriber and says how many events it still waited for. The others may then wait for more
    /// in common than before.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        if let Some(Reverse(asked)) = self.blocking.remove(key) {
            return Some(asked.saturating_sub(self.dealt));
        }
        self.lagging.remove(key)?;
        self.details.remove(key).map(|details| details.demand)
    }

    /// Notes that a subscriber waits for `n` events more, or that it did not want `n` of those dealt. How many it
    /// gets from its queue at once.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<u64, UnknownSubscriber> {
        if let Some(Reverse(asked)) = self.blocking.rank(key) {
            let asked = asked.saturating_add(n).min(self.dealt.saturating_add(MOST));
            self.blocking.set(key, Reverse(asked));
            return Ok(0);
        }
        let details = self.details.get_mut(key).ok_or(UnknownSubscriber)?;
        let served = details.queued.min(n);
        details.queued -= served;
        details.demand = details.demand.saturating_add(n - served).min(MOST);
        self.lagging.set(key, details.demand.saturating_add(details.told));
        Ok(served)
    }

    /// What is a subscriber's of a deal to everyone, once it is known that it wants `n` of the `dealt` events; to
    /// be asked for every deal and every subscriber that holds nobody up. For others deals count as they are made.
    pub fn share(&mut self, key: &K, dealt: u64, n: u64) -> Result<Share, UnknownSubscriber> {
        if self.blocking.contains(key) {
            return Ok(Share::All);
        }
        let details = self.details.get_mut(key).ok_or(UnknownSubscriber)?;
        details.told = details.told.saturating_add(dealt).min(self.dealt);
        let now = details.demand.min(n);
        let cancel = details.lag == Lag::Cancel && now < n;
        if !cancel {
            details.demand -= now;
        }
        self.lagging.set(key, details.demand.saturating_add(details.told));
        if cancel {
            return Ok(Share::Cancel);
        }
        if now == n {
            return Ok(Share::All);
        }
        details.queued = details.queued.saturating_add(n - now);
        let dropped = match details.lag {
            Lag::DropOldest(limit) => details.queued.saturating_sub(limit),
            Lag::Block | Lag::Cancel => 0,
        };
        details.queued -= dropped;
        Ok(Share::Part { now, dropped })
    }

    /// How many events may be dealt.
    pub fn demand(&self) -> u64 {
        let asked = match self.blocking.first() {
            Some((_, Reverse(asked))) => asked,
            None => self.lagging.first().map_or(0, |(_, asked)| asked),
        };
        asked.saturating_sub(self.dealt)
    }

    /// How many events one subscriber waits for.
    pub fn demand_of(&self, key: &K) -> Option<u64> {
        match self.blocking.rank(key) {
            Some(Reverse(asked)) => Some(asked.saturating_sub(self.dealt)),
            None => self.details.get(key).map(|details| details.demand),
        }
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.blocking.len() + self.lagging.len()
    }

    /// How many events the source was asked for and has not brought.
    pub fn claimed(&self) -> u64 {
        self.claimed.get()
    }
}

impl<K: Copy + Ord> Dispatcher for BroadcastDispatcher<K> {
    type To = Everyone;

    fn claim(&mut self) -> u64 {
        let demand = self.demand();
        self.claimed.claim(demand)
    }

    fn arrived(&mut self, n: u64) {
        self.claimed.arrived(n);
    }

    fn deal_one(&mut self, available: u64) -> Option<(Everyone, u64)> {
        let n = self.demand().min(available);
        self.dealt += n;
        (n > 0).then_some((Everyone, n))
    }

    fn deal_ahead(&mut self) -> Option<(Everyone, u64)> {
        if self.claimed.get() > 0 || !self.lagging.is_empty() {
            return None;
        }
        self.deal_one(u64::MAX)
    }

    fn take_back(&mut self, _to: Everyone, n: u64) {
        self.dealt = self.dealt.saturating_sub(n);
        self.claim();
    }
}
