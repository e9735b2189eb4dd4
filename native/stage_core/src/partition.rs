use std::collections::{BTreeMap, VecDeque};

use crate::dispatcher::{Claimed, Dispatcher};
use crate::sparse::Sparse;
use crate::{AlreadySubscribed, Buffer, DemandDispatcher, DemandOptions, Keep, Part, UnknownSubscriber};

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
    /// How many events wait here, and between them the numbers of marks.
    queue: Buffer<u64, u64>,
    /// Where it stands among those with something in their queue, if it does.
    place: usize,
}

impl<K: Copy + Ord> Partition<K> {
    fn new() -> Self {
        Self {
            subscribers: DemandDispatcher::new(DemandOptions::default()),
            queue: Buffer::new(None, Keep::Last),
            place: 0,
        }
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
    /// Those with something in their queue, in no order: they come and go with nearly every batch.
    queued: Vec<usize>,
    /// Which partition a subscriber belongs to.
    homes: BTreeMap<K, usize>,
    /// How many events may be split: living demand and abandoned demand, less what is queued.
    demand: u64,
    /// Demand that subscribers left behind, until that of others takes its place.
    abandoned: u64,
    claimed: Claimed,
    /// How many partitions hold each mark back, oldest mark first.
    marks: VecDeque<usize>,
    /// The number of the oldest of these marks.
    first_mark: u64,
}

impl<K: Copy + Ord> PartitionDispatcher<K> {
    /// A dispatcher of `count` partitions, without subscribers.
    pub fn new(count: usize) -> Self {
        Self {
            partitions: Sparse::default(),
            count,
            queued: Vec::new(),
            homes: BTreeMap::new(),
            demand: 0,
            abandoned: 0,
            claimed: Claimed::default(),
            marks: VecDeque::new(),
            first_mark: 0,
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
    pub fn deal_to(&mut self, partition: usize, n: u64, mut deal: impl FnMut(K, u64)) -> bool {
        if n == 0 {
            return partition < self.count;
        }
        let place = self.queued.len();
        let Some(home) = self.partition(partition) else { return false };
        let mut rest = n;
        let empty = home.queue.is_empty();
        if empty {
            while let Some((key, n)) = home.subscribers.deal_one(rest) {
                rest -= n;
                deal(key, n);
            }
        }
        if rest > 0 && home.queue.extend_last(|last| *last = last.saturating_add(rest)).is_none() {
            home.queue.store(rest);
        }
        if empty && rest > 0 {
            home.place = place;
            self.queued.push(partition);
        }
        true
    }

    /// What comes next out of a partition's queue, while its subscribers wait for events.
    pub fn serve(&mut self, partition: usize) -> Option<Queued<K>> {
        self.serve_up_to(partition, u64::MAX)
    }

    /// The same, at most `most` events of it.
    pub fn serve_up_to(&mut self, partition: usize, most: u64) -> Option<Queued<K>> {
        loop {
            let home = self.known(partition)?;
            let part = match home.queue.first().copied() {
                Some(count) => {
                    let (key, n) = home.subscribers.deal_one(count.min(most))?;
                    home.queue.pop(n, |batch, n| *batch -= n);
                    Part::Events((key, n))
                }
                None => match home.queue.pop(0, |_, _| ())? {
                    Part::Mark(mark) => Part::Mark(mark),
                    Part::Events(()) => return None,
                },
            };
            if home.queue.is_empty() {
                let place = home.place;
                self.served(place);
            }
            match part {
                Part::Events((key, n)) => return Some(Queued::Events(key, n)),
                Part::Mark(mark) if self.pass(mark) => return Some(Queued::Mark),
                Part::Mark(_) => {}
            }
        }
    }

    /// Notes that nothing is queued any more for the partition that stands there; the last one takes its place.
    fn served(&mut self, place: usize) {
        if place < self.queued.len() {
            self.queued.swap_remove(place);
        }
        if let Some(moved) = self.queued.get(place).copied()
            && let Some(home) = self.known(moved)
        {
            home.place = place;
        }
    }

    /// Puts a mark behind every queue; false when none has events.
    pub fn mark(&mut self) -> bool {
        let mark = self.first_mark + self.marks.len() as u64;
        for partition in &self.queued {
            if let Some(home) = self.partitions.get_mut(*partition) {
                home.queue.mark(mark);
            }
        }
        let behind = self.queued.len();
        if behind > 0 {
            self.marks.push_back(behind);
        }
        behind > 0
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

    /// How many partitions there is anything noted of.
    pub fn noted(&self) -> usize {
        self.partitions.count()
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
        self.partitions.iter().map(|home| home.queue.count()).sum()
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

    /// Whether a mark that one partition has let pass is held back by no other. A later mark stands behind an
    /// earlier one wherever that still is, so they are let pass in order.
    fn pass(&mut self, mark: u64) -> bool {
        let Some(held) = usize::try_from(mark - self.first_mark).ok().and_then(|at| self.marks.get_mut(at))
        else {
            return false;
        };
        *held = held.saturating_sub(1);
        if *held > 0 {
            return false;
        }
        self.marks.pop_front();
        self.first_mark += 1;
        true
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
