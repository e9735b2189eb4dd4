use std::collections::BTreeMap;

use crate::chunked::Chunked;
use crate::dispatcher::{Claimed, Dispatcher};
use crate::sparse::Sparse;
use crate::{AlreadySubscribed, DemandDispatcher, DemandOptions, UnknownSubscriber};

/// What a deal of a [`PartitionDispatcher`] is for: to be split by partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split;

/// What comes out of a partition's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued<K> {
    /// The oldest events, for a subscriber.
    Events(K, u64),
    /// A mark that no partition holds back any more.
    Mark,
}

#[derive(Debug)]
struct Partition<K> {
    /// Share what the partition gets by demand.
    subscribers: DemandDispatcher<K>,
    /// What waits here, oldest first.
    queue: Chunked<Waiting>,
}

/// Events of a queue between two marks.
#[derive(Debug)]
struct Waiting {
    events: u64,
    /// The number of the mark behind them.
    mark: u64,
}

impl<K: Copy + Ord> Partition<K> {
    fn new() -> Self {
        Self { subscribers: DemandDispatcher::new(DemandOptions::default()), queue: Chunked::default() }
    }
}

/// Gives every event to a subscriber of its partition.
///
/// Who asks cannot say which partition the source will serve, so demand is one sum; what comes for a partition
/// beyond its own subscribers' demand waits in its queue, and takes as much of the sum with it. Hence no queue
/// outgrows what all subscribers together have asked for. A queue belongs to its partition: when a subscriber
/// goes, the next one gets it, and the demand it leaves behind is not asked for twice.
#[derive(Debug)]
pub struct PartitionDispatcher<K> {
    /// As far as there was anything to note of them.
    partitions: Sparse<Partition<K>>,
    count: usize,
    /// Which partition a subscriber belongs to.
    homes: BTreeMap<K, usize>,
    /// How many events may be split: living demand and abandoned demand, less what is queued.
    demand: u64,
    /// Demand that subscribers left behind, until that of others takes its place.
    abandoned: u64,
    claimed: Claimed,
    /// How many queued events hold each mark back beside the marks before it, oldest mark first.
    marks: Chunked<u64>,
    /// The number of the oldest of these marks.
    first_mark: u64,
    /// How many events are queued behind all marks.
    unmarked: u64,
    /// How many are queued.
    queued: u64,
}

impl<K: Copy + Ord> PartitionDispatcher<K> {
    /// A dispatcher of `count` partitions, without subscribers.
    pub fn new(count: usize) -> Self {
        Self {
            partitions: Sparse::default(),
            count,
            homes: BTreeMap::new(),
            demand: 0,
            abandoned: 0,
            claimed: Claimed::default(),
            marks: Chunked::default(),
            first_mark: 0,
            unmarked: 0,
            queued: 0,
        }
    }

    /// Adds a subscriber of a partition, who waits for nothing yet; false when there is no such partition.
    pub fn subscribe(&mut self, key: K, partition: usize) -> Result<bool, AlreadySubscribed> {
        if self.home(&key).is_some() {
            return Err(AlreadySubscribed);
        }
        let Some(home) = self.partition(partition) else { return Ok(false) };
        home.subscribers.subscribe(key)?;
        self.homes.insert(key, partition);
        Ok(true)
    }

    /// Removes a subscriber and says how many events it still waited for.
    pub fn cancel(&mut self, key: &K) -> Option<u64> {
        let partition = self.homes.remove(key)?;
        let left = self.known(partition)?.subscribers.cancel(key)?;
        self.abandoned += left;
        Some(left)
    }

    /// Notes that a subscriber waits for `n` events more, or that it did not want `n` of those dealt. The number of its partition, when that has a queue:
    /// it is to be [served](Self::serve) then.
    pub fn credit(&mut self, key: &K, n: u64) -> Result<Option<usize>, UnknownSubscriber> {
        let at = self.home(key).ok_or(UnknownSubscriber)?;
        // What is asked for in all stays a number.
        let n = n.min(u64::MAX / 2 - self.demand.min(u64::MAX / 2));
        let home = self.known(at).ok_or(UnknownSubscriber)?;
        home.subscribers.credit(key, n)?;
        let queued = !home.queue.is_empty();
        let taken_over = n.min(self.abandoned);
        self.abandoned -= taken_over;
        self.demand += n - taken_over;
        Ok(queued.then_some(at))
    }

    /// Notes that `n` of the events that were to be split belong to no partition.
    pub fn without_partition(&mut self, n: u64) {
        self.demand = self.demand.saturating_add(n);
    }

    /// Gives `n` events to a partition: calls `deal` with each of its subscribers that gets some of them and with
    /// how many; the rest is queued. False when there is no such partition.
    pub fn deal_to(&mut self, partition: usize, n: u64, deal: impl FnMut(K, u64)) -> bool {
        self.deal_up_to(partition, n, usize::MAX, deal).is_some()
    }

    /// The same in `most` deals at most. How many of the events are to be given to it with another call, before
    /// anything else happens: none, if it is done. `None` when there is no such partition.
    pub fn deal_up_to(
        &mut self,
        partition: usize,
        n: u64,
        most: usize,
        mut deal: impl FnMut(K, u64),
    ) -> Option<u64> {
        if n == 0 {
            return (partition < self.count).then_some(0);
        }
        let mark = self.next_mark();
        let home = self.partition(partition)?;
        let mut rest = n;
        if home.queue.is_empty() {
            let mut left = most;
            while let Some((key, n)) = (left > 0).then(|| home.subscribers.deal_one(rest)).flatten() {
                rest -= n;
                left -= 1;
                deal(key, n);
            }
            if left == 0 && home.subscribers.demand() > 0 {
                return Some(rest);
            }
        }
        if rest > 0 {
            match home.queue.back_mut() {
                Some(last) if last.mark == mark => last.events = last.events.saturating_add(rest),
                _ => home.queue.push_back(Waiting { events: rest, mark }),
            }
            self.unmarked = self.unmarked.saturating_add(rest);
            self.queued = self.queued.saturating_add(rest);
        }
        Some(0)
    }

    /// What comes next out of a partition's queue, while its subscribers wait for events.
    pub fn serve(&mut self, partition: usize) -> Option<Queued<K>> {
        self.serve_up_to(partition, u64::MAX)
    }

    /// The same, at most `most` events of it.
    pub fn serve_up_to(&mut self, partition: usize, most: u64) -> Option<Queued<K>> {
        if self.marks.front() == Some(&0) {
            self.marks.pop_front();
            self.first_mark += 1;
            return Some(Queued::Mark);
        }
        let home = self.known(partition)?;
        let first = home.queue.front_mut()?;
        let (key, n) = home.subscribers.deal_one(first.events.min(most))?;
        first.events -= n;
        let mark = first.mark;
        if first.events == 0 {
            home.queue.pop_front();
        }
        self.queued = self.queued.saturating_sub(n);
        let behind = usize::try_from(mark - self.first_mark).ok().and_then(|at| self.marks.get_mut(at));
        let before = behind.unwrap_or(&mut self.unmarked);
        *before = before.saturating_sub(n);
        Some(Queued::Events(key, n))
    }

    /// Puts a mark behind every queue; false when none has events.
    pub fn mark(&mut self) -> bool {
        if self.queued > 0 {
            self.marks.push_back(std::mem::take(&mut self.unmarked));
        }
        self.queued > 0
    }

    /// The number of the mark that is put next.
    fn next_mark(&self) -> u64 {
        self.first_mark + self.marks.len() as u64
    }

    /// Who has subscribed to a partition, if these are `limit` or more, nobody otherwise; `None` when there is no such
    /// partition.
    pub fn holders(&self, partition: usize, limit: usize) -> Option<Vec<K>> {
        if partition >= self.count {
            return None;
        }
        let home = self.partitions.get(partition);
        let full = home.filter(|home| home.subscribers.subscribers() >= limit);
        Some(full.map_or_else(Vec::new, |home| home.subscribers.keys().collect()))
    }

    /// How many events a partition's subscribers wait for.
    pub fn waiting(&self, partition: usize) -> u64 {
        let home = self.partitions.get(partition);
        home.map_or(0, |home| home.subscribers.demand())
    }

    /// How many partitions there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many subscribers there are, and partitions of which anything is noted.
    pub fn noted(&self) -> usize {
        self.partitions.count() + self.homes.len()
    }

    /// How many events may be split.
    pub fn demand(&self) -> u64 {
        self.demand
    }

    /// How many events one subscriber waits for.
    pub fn demand_of(&self, key: &K) -> Option<u64> {
        self.partitions.get(self.home(key)?)?.subscribers.demand_of(key)
    }

    /// How many events the source was asked for and has not brought.
    pub fn claimed(&self) -> u64 {
        self.claimed.get()
    }

    /// How many events wait in the queues.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    fn home(&self, key: &K) -> Option<usize> {
        self.homes.get(key).copied()
    }

    /// A partition of which something is noted.
    fn known(&mut self, partition: usize) -> Option<&mut Partition<K>> {
        self.partitions.get_mut(partition)
    }

    /// Any partition that there is.
    fn partition(&mut self, partition: usize) -> Option<&mut Partition<K>> {
        if partition >= self.count {
            return None;
        }
        self.partitions.get_or_insert_with(partition, Partition::new)
    }
}

impl<K: Copy + Ord> Dispatcher for PartitionDispatcher<K> {
    type To = Split;

    fn claim(&mut self) -> u64 {
        self.claimed.claim(self.demand)
    }

    fn arrived(&mut self, n: u64) {
        self.claimed.arrived(n);
    }

    fn deal_one(&mut self, available: u64) -> Option<(Split, u64)> {
        let n = self.demand.min(available);
        self.demand -= n;
        (n > 0).then_some((Split, n))
    }
}
