use crate::dispatcher::{Claimed, Dispatcher};
use crate::{AlreadySubscribed, UnknownSubscriber};

#[derive(Debug, Clone)]
struct Subscriber<K> {
    key: K,
    demand: u64,
}

/// Whom a broadcast is for: all who are subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Everyone;

/// Gives every event to every subscriber, as many as the one who waits for fewest waits for.
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
    pub fn subscribe(&mut self, key: K) -> Result<(), AlreadySubscribed> {
        if self.find(&key).is_some() {
            return Err(AlreadySubscribed);
        }
        self.subscribers.push(Subscriber { key, demand: 0 });
        Ok(())
    }

    /// Removes a subscriber and says how many events it still waited for. The others may then wait for more
    /// in common than before.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        let at = self.subscribers.iter().position(|subscriber| subscriber.key == *key)?;
        Some(self.subscribers.remove(at).demand)
    }

    /// Notes that a subscriber waits for `n` events more, or that it did not want `n` of those dealt.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<(), UnknownSubscriber> {
        let subscriber = self.find(key).ok_or(UnknownSubscriber)?;
        subscriber.demand = subscriber.demand.saturating_add(n);
        Ok(())
    }

    /// How many events all subscribers wait for.
    pub fn demand(&self) -> u64 {
        self.subscribers.iter().map(|subscriber| subscriber.demand).min().unwrap_or(0)
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
            subscriber.demand -= n;
        }
        Some((Everyone, n))
    }
}
