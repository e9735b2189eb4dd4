use crate::dispatcher::{Claimed, Dispatcher};
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

#[derive(Debug, Clone)]
struct Subscriber<K> {
    key: K,
    /// 0 while anything is queued.
    demand: u64,
    queued: u64,
    /// Dealt, and its share not told yet.
    open: u64,
    lag: Lag,
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
    subscribers: Vec<Subscriber<K>>,
    claimed: Claimed,
}

impl<K> Default for BroadcastDispatcher<K> {
    fn default() -> Self {
        Self { subscribers: Vec::new(), claimed: Claimed::default() }
    }
}

impl<K: Eq> BroadcastDispatcher<K> {
    /// A dispatcher without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscriber who waits for nothing yet.
    pub fn subscribe(&mut self, key: K, lag: Lag) -> Result<(), AlreadySubscribed> {
        if self.find(&key).is_some() {
            return Err(AlreadySubscribed);
        }
        self.subscribers.push(Subscriber { key, demand: 0, queued: 0, open: 0, lag });
        Ok(())
    }

    /// Removes a subscriber and says how many events it still waited for. The others may then wait for more
    /// in common than before.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        let at = self.subscribers.iter().position(|subscriber| subscriber.key == *key)?;
        Some(self.subscribers.remove(at).demand)
    }

    /// Notes that a subscriber waits for `n` events more, or that it did not want `n` of those dealt. How many it
    /// gets from its queue at once.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<u64, UnknownSubscriber> {
        let subscriber = self.find(key).ok_or(UnknownSubscriber)?;
        let served = subscriber.queued.min(n);
        subscriber.queued -= served;
        subscriber.demand = subscriber.demand.saturating_add(n - served);
        Ok(served)
    }

    /// What is a subscriber's of a deal to everyone, once it is known that it wants `n` of the `dealt` events; to
    /// be asked for every deal and every subscriber that holds nobody up. For others deals count as they are made.
    pub fn share(&mut self, key: &K, dealt: u64, n: u64) -> Result<Share, UnknownSubscriber> {
        let subscriber = self.find(key).ok_or(UnknownSubscriber)?;
        subscriber.open = subscriber.open.saturating_sub(dealt);
        let now = subscriber.demand.min(n);
        match subscriber.lag {
            Lag::Block => return Ok(Share::All),
            Lag::Cancel if now < n => return Ok(Share::Cancel),
            Lag::Cancel | Lag::DropOldest(_) => subscriber.demand -= now,
        }
        if now == n {
            return Ok(Share::All);
        }
        subscriber.queued += n - now;
        let dropped = match subscriber.lag {
            Lag::DropOldest(limit) => subscriber.queued.saturating_sub(limit),
            Lag::Block | Lag::Cancel => 0,
        };
        subscriber.queued -= dropped;
        Ok(Share::Part { now, dropped })
    }

    /// How many events may be dealt.
    pub fn demand(&self) -> u64 {
        let demands = |blocks| {
            let of_kind = move |subscriber: &&Subscriber<K>| (subscriber.lag == Lag::Block) == blocks;
            self.subscribers
                .iter()
                .filter(of_kind)
                .map(|subscriber| subscriber.demand.saturating_sub(subscriber.open))
        };
        demands(true).min().or_else(|| demands(false).max()).unwrap_or(0)
    }

    /// How many events one subscriber waits for.
    pub fn demand_of(&self, key: &K) -> Option<u64> {
        self.subscribers.iter().find(|subscriber| subscriber.key == *key).map(|subscriber| subscriber.demand)
    }

    /// How many events the source was asked for and has not brought.
    pub fn claimed(&self) -> u64 {
        self.claimed.get()
    }

    fn find(&mut self, key: &K) -> Option<&mut Subscriber<K>> {
        self.subscribers.iter_mut().find(|subscriber| subscriber.key == *key)
    }
}

impl<K: Eq> Dispatcher for BroadcastDispatcher<K> {
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
        if n == 0 {
            return None;
        }
        for subscriber in &mut self.subscribers {
            match subscriber.lag {
                Lag::Block => subscriber.demand -= n,
                Lag::DropOldest(_) | Lag::Cancel => subscriber.open += n,
            }
        }
        Some((Everyone, n))
    }

    fn deal_ahead(&mut self) -> Option<(Everyone, u64)> {
        let all_block = self.subscribers.iter().all(|subscriber| subscriber.lag == Lag::Block);
        if self.claimed.get() > 0 || !all_block {
            return None;
        }
        self.deal_one(u64::MAX)
    }

    fn take_back(&mut self, _to: Everyone, n: u64) {
        for subscriber in &mut self.subscribers {
            subscriber.demand += n;
        }
        self.claim();
    }
}
