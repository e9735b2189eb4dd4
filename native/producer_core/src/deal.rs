use std::collections::BTreeMap;

use stage_core::{AnyDispatcher, Dispatcher, PartitionDispatcher, Queued, Recipient, Share};

use crate::producer::{Happened, Key, Mark, Producer};
use crate::queue::Queue;
use crate::{Budget, Frame, Taken};

/// A broadcast to more consumers takes a call that may last: their messages alone, and their patterns, are more than an
/// ordinary one may take, and fewer events in each would be more messages.
const FEW: usize = 64;

/// Events to be given out now, and to whom.
#[derive(Debug, PartialEq, Eq)]
pub enum Deal<F> {
    /// To one consumer.
    One(Key, Vec<Taken<F>>),
    /// To all consumers; those that hold nobody up are to be asked [about](Producer::share).
    Everyone(Vec<Taken<F>>),
    /// Each of these to the consumer beside it, in any order of the consumers. There may be none: then all of them have to
    /// wait for a consumer of their partition.
    Each(Vec<(Key, Vec<Taken<F>>)>),
}

/// What to do when nothing is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, until what wakes the owner comes.
    Wait,
    /// To send what wakes the owner, so that it goes on behind what has come meanwhile.
    More,
    /// To go on with a dirty budget: the next event is too dear for an ordinary one.
    Large,
}

/// What of a deal to everyone is a consumer's that holds nobody up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// All it wants.
    All,
    /// The first `now` of what it wants; the rest waits for it here, where the oldest `dropped` have gone for good.
    Part {
        /// How many it gets.
        now: u64,
        /// How many it will not get.
        dropped: u64,
    },
    /// Nothing: it is to be cancelled for lagging behind.
    Cancel,
}

/// What comes of a queue that may be given out.
enum Due<F> {
    Dealt(Deal<F>),
    /// Nothing, as the budget does not go as far as its next event.
    Spent,
    /// Nothing any more.
    Done,
}

impl<F: Frame, M, N> Producer<F, M, N> {
    /// What there is to tell next.
    pub fn happened(&mut self) -> Option<Happened<M, N>> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(Happened::Notice(notice));
        }
        loop {
            match self.next_mark()? {
                Mark::State(epoch, state) if self.standing.reached(epoch, state) => {
                    return Some(Happened::State(state));
                }
                Mark::State(_, _) => {}
                Mark::Own(mark) => return Some(Happened::Mark(mark)),
            }
        }
    }

    fn next_mark(&mut self) -> Option<Mark<M>> {
        loop {
            if let Some(mark) = self.passed.pop_front() {
                return Some(mark);
            }
            let mark = self.ready.reached()?;
            let queued = self.dispatcher.partitions().is_ok_and(PartitionDispatcher::mark);
            if !queued {
                return Some(mark);
            }
            // what is queued came before it
            self.behind.push_back(mark);
        }
    }

    /// Deals the next events, as far as the budget goes.
    pub fn deal(&mut self, budget: &mut Budget) -> Result<Deal<F>, Rest> {
        if !self.goes_on() {
            return Err(Rest::Wait);
        }
        while let Some((queue, n)) = self.due.first_key_value().map(|(queue, n)| (*queue, *n)) {
            let dealt = match self.dispatcher {
                AnyDispatcher::Partition(_) => self.deal_partition(queue, budget),
                _ => self.deal_lagging(queue, n, budget),
            };
            match dealt {
                Due::Dealt(deal) => return Ok(deal),
                Due::Spent => return Err(self.rest(budget)),
                Due::Done => {
                    self.due.remove(&queue);
                    if self.queues.get(&queue).is_some_and(|queue| queue.events() == 0) {
                        self.queues.remove(&queue);
                    }
                }
            }
        }
        let affordable = self.affordable(self.dispatcher.demand(), budget)?;
        let Some((to, n)) = self.dispatcher.deal_one(affordable as u64) else { return Err(Rest::Wait) };
        let taken = self.take_ready(n);
        Ok(match to {
            Recipient::One(key) => Deal::One(key, taken),
            Recipient::Everyone => Deal::Everyone(taken),
            Recipient::Split => Deal::Each(self.split(taken)),
        })
    }

    /// Notes that the owner wants so many events more itself.
    pub fn want(&mut self, n: u64) {
        self.wanted_here = self.wanted_here.saturating_add(n);
    }

    /// The next events that the owner wants itself, as far as the budget goes. Dispatcher and consumers have no part in it.
    pub fn take(&mut self, budget: &mut Budget) -> Result<Vec<Taken<F>>, Rest> {
        if !self.goes_on() {
            return Err(Rest::Wait);
        }
        let affordable = self.affordable(self.wanted_here, budget)?;
        self.wanted_here -= affordable as u64;
        Ok(self.take_ready(affordable as u64))
    }

    /// What is a consumer's of `dealt` events for everyone, of which it wants `wanted`; the others' is all.
    pub fn share(&mut self, key: Key, dealt: u64, wanted: &[Taken<F>]) -> Portion {
        let n = wanted.iter().map(|part| part.events.len() as u64).sum();
        // one that is gone gets nothing
        match self.dispatcher.share(&key, dealt, n).unwrap_or(Share::Part { now: 0, dropped: n }) {
            Share::All => Portion::All,
            Share::Cancel => Portion::Cancel,
            Share::Part { now, dropped } => {
                if self.dispatcher.demand_of(&key).is_some() {
                    let queue = self.queues.entry(key).or_default();
                    let mut skip = now as usize;
                    for part in wanted {
                        let skipped = skip.min(part.events.len());
                        skip -= skipped;
                        let events = part.events.start + skipped..part.events.end;
                        queue.put(Taken { frame: part.frame.clone(), events });
                    }
                    queue.take(dropped as usize);
                }
                Portion::Part { now, dropped }
            }
        }
    }

    /// How many of the next events, `wanted` at most, go into one delivery.
    fn affordable(&mut self, wanted: u64, budget: &mut Budget) -> Result<usize, Rest> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.settings.most);
        // whoever gives out takes marks before events
        if wanted == 0 || self.ready.events() == 0 || self.ready.is_at_mark() {
            return Err(Rest::Wait);
        }
        if matches!(self.dispatcher, AnyDispatcher::Broadcast(_))
            && self.consumers > FEW
            && !budget.is_dirty()
        {
            return Err(Rest::Large);
        }
        let cost = self.settings.cost;
        let affordable = match self.dispatcher {
            AnyDispatcher::Demand(_) => self.ready.affordable(wanted, |bytes| budget.affords(cost.of(bytes))),
            AnyDispatcher::Broadcast(_) => {
                let consumers = self.consumers;
                self.ready.affordable(wanted, |bytes| budget.affords(cost.for_each(bytes, consumers)))
            }
            AnyDispatcher::Partition(_) => {
                self.ready.affordable(wanted, |bytes| budget.affords(cost.alone(bytes)))
            }
        };
        if affordable > 0 { Ok(affordable) } else { Err(self.rest(budget)) }
    }

    /// What did not fit beside others may fit a call of its own.
    fn rest(&mut self, budget: &Budget) -> Rest {
        if !budget.is_used() {
            Rest::Large
        } else if self.once_more() {
            Rest::More
        } else {
            Rest::Wait
        }
    }

    fn take_ready(&mut self, n: u64) -> Vec<Taken<F>> {
        let taken = self.ready.take(usize::try_from(n).unwrap_or(usize::MAX));
        if self.full && self.ready.is_half_empty() {
            self.full = false;
            self.room = true;
        }
        taken
    }

    /// From the queue of a partition whose consumers have asked.
    fn deal_partition(&mut self, number: u64, budget: &mut Budget) -> Due<F> {
        let AnyDispatcher::Partition(partitions) = &mut self.dispatcher else { return Due::Done };
        let partition = usize::try_from(number).unwrap_or(usize::MAX);
        let cost = self.settings.cost;
        let queue = self.queues.entry(number).or_default();
        let wanted = usize::try_from(partitions.waiting(partition)).unwrap_or(usize::MAX);
        let most = wanted.min(queue.events()).min(self.settings.most);
        let affordable = queue.affordable(most, |bytes| budget.affords(cost.alone(bytes)));
        if most > 0 && affordable == 0 {
            return Due::Spent;
        }
        match partitions.serve_up_to(partition, affordable as u64) {
            Some(Queued::Events(key, n)) => Due::Dealt(Deal::One(key, queue.take(n as usize))),
            // it is told before what comes after it
            Some(Queued::Mark) => {
                self.passed.extend(self.behind.pop_front());
                Due::Dealt(Deal::Each(Vec::new()))
            }
            None => Due::Done,
        }
    }

    /// Up to `n` events that a consumer has lagged behind.
    fn deal_lagging(&mut self, key: Key, n: u64, budget: &mut Budget) -> Due<F> {
        let cost = self.settings.cost;
        let Some(queue) = self.queues.get_mut(&key) else { return Due::Done };
        let most = usize::try_from(n).unwrap_or(usize::MAX).min(queue.events()).min(self.settings.most);
        let affordable = queue.affordable(most, |bytes| budget.affords(cost.of(bytes)));
        if most > 0 && affordable == 0 {
            return Due::Spent;
        }
        if affordable == 0 {
            return Due::Done;
        }
        self.due.insert(key, n - affordable as u64);
        Due::Dealt(Deal::One(key, queue.take(affordable)))
    }

    /// Gives each event to a consumer of its partition, or queues it there.
    fn split(&mut self, taken: Vec<Taken<F>>) -> Vec<(Key, Vec<Taken<F>>)> {
        let AnyDispatcher::Partition(partitions) = &mut self.dispatcher else { return Vec::new() };
        let mut deals = Vec::new();
        for (partition, mut part) in by_partition(&taken, partitions.count()) {
            let n = part.events() as u64;
            partitions.deal_to(partition, n, |key, n| deals.push((key, part.take(n as usize))));
            if part.events() > 0 {
                let queue = self.queues.entry(partition as u64).or_default();
                for rest in part.take(usize::MAX) {
                    queue.put(rest);
                }
            }
        }
        deals
    }
}

/// Events that follow one another in a batch stay together.
fn by_partition<F: Frame>(taken: &[Taken<F>], count: usize) -> BTreeMap<usize, Queue<F>> {
    let mut parts: BTreeMap<usize, (usize, Queue<F>)> = BTreeMap::new();
    for (number, Taken { frame, events }) in taken.iter().enumerate() {
        for event in events.clone() {
            let partition = (frame.hash_of(event) % count.max(1) as u64) as usize;
            let (latest, part) = parts.entry(partition).or_default();
            if *latest != number || !part.extend(event) {
                part.put(Taken { frame: frame.clone(), events: event..event + 1 });
                *latest = number;
            }
        }
    }
    parts.into_iter().map(|(partition, (_, part))| (partition, part)).collect()
}
