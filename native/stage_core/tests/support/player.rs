//! Plays the producer process: it keeps the events, cuts and sends them.

use std::collections::{BTreeMap, VecDeque};

use stage_core::{
    AlreadySubscribed, AnyDispatcher, Buffer, Credited, Delivery, DispatcherKind, Keep, Lag, Membership,
    Output, Queued, Recipient, Share, UnknownSubscriber,
};

use super::{PARTITIONS, Step, dispatcher, partition_of};

pub struct Subscriber {
    pub partition: usize,
    pub lag: Lag,
    pub demand: u64,
    pub got: Vec<u32>,
    /// What it lags behind.
    pub queue: VecDeque<u32>,
    pub dropped: u64,
    /// How many events had been dealt when it came.
    pub since: u32,
}

/// Plays the producer process: it keeps the events, cuts and sends them.
pub struct Producer {
    pub output: Output<AnyDispatcher<u8>, VecDeque<u32>, u32>,
    pub subscribers: BTreeMap<u8, Subscriber>,
    pub queues: Vec<VecDeque<u32>>,
    /// What left for good, in order, by partition; all is of the first unless the dispatcher has partitions.
    pub sent: Vec<Vec<u32>>,
    /// Up to which event all have been dealt.
    pub dealt: u32,
    pub marks: Vec<u32>,
    pub marks_out: usize,
    pub asked: u64,
    pub asked_upstream: u64,
    pub next: u32,
}

impl Producer {
    pub fn new(kind: DispatcherKind) -> Self {
        Self {
            output: Output::new(dispatcher(kind), Buffer::new(None, Keep::Last)),
            subscribers: BTreeMap::new(),
            queues: vec![VecDeque::new(); PARTITIONS],
            sent: vec![vec![]; PARTITIONS],
            dealt: 0,
            marks: vec![],
            marks_out: 0,
            asked: 0,
            asked_upstream: 0,
            next: 0,
        }
    }

    pub fn kind(&self) -> DispatcherKind {
        self.output.dispatcher().kind()
    }

    fn fresh(&mut self, n: usize) -> VecDeque<u32> {
        let from = self.next;
        self.next += n as u32;
        (from + 1..=self.next).collect()
    }

    fn send(&mut self, key: u8, events: &[u32]) {
        let subscriber = self.subscribers.get_mut(&key).expect("a living subscriber");
        let n = events.len() as u64;
        assert!(n > 0 && n <= subscriber.demand, "{n} sent against a demand of {}", subscriber.demand);
        subscriber.demand -= n;
        subscriber.got.extend(events);
        let at = if self.output.dispatcher().kind() == DispatcherKind::Partition {
            subscriber.partition
        } else {
            0
        };
        self.sent[at].extend(events);
    }

    fn deal(&mut self, to: Recipient<u8>, events: &[u32]) {
        assert_eq!(events.first(), Some(&(self.dealt + 1)), "overtaken");
        self.dealt += events.len() as u32;
        match to {
            Recipient::One(key) => self.send(key, events),
            Recipient::Everyone => {
                for key in self.subscribers.keys().copied().collect::<Vec<_>>() {
                    self.share(key, events);
                }
            }
            Recipient::Split => self.split(events),
        }
    }

    fn share(&mut self, key: u8, events: &[u32]) {
        let n = events.len() as u64;
        let share = self.output.dispatcher_mut().share(&key, n, n).expect("a broadcast");
        match share {
            Share::All => self.send(key, events),
            Share::Cancel => self.cancel(key),
            Share::Part { now, dropped } => {
                let (now, later) = events.split_at(now as usize);
                if !now.is_empty() {
                    self.send(key, now);
                }
                let subscriber = self.subscribers.get_mut(&key).expect("a living subscriber");
                subscriber.queue.extend(later);
                subscriber.queue.drain(..dropped as usize);
                subscriber.dropped += dropped;
            }
        }
    }

    fn cancel(&mut self, key: u8) {
        let left = self.subscribers.remove(&key).map(|subscriber| subscriber.demand);
        assert_eq!(self.output.dispatcher_mut().cancel(&key), left);
    }

    fn split(&mut self, events: &[u32]) {
        let mut lists = vec![vec![]; PARTITIONS + 1];
        events.iter().for_each(|event| lists[partition_of(*event)].push(*event));
        let none = lists.pop().expect("a list more than partitions").len() as u64;
        self.output.dispatcher_mut().partitions().expect("partitions").without_partition(none);
        self.asked += none;
        for (partition, list) in lists.into_iter().enumerate() {
            self.split_to(partition, &list);
        }
    }

    /// In one deal after the other, and what nobody waits for into the queue.
    fn split_to(&mut self, partition: usize, list: &[u32]) {
        let mut rest = list;
        loop {
            let mut deal = None;
            let partitions = self.output.dispatcher_mut().partitions().expect("partitions");
            let left = partitions.deal_up_to(partition, rest.len() as u64, 1, |key, n| deal = Some((key, n)));
            if let Some((key, n)) = deal {
                let (now, later) = rest.split_at(n as usize);
                self.send(key, now);
                rest = later;
            }
            match left.expect("a partition that there is") {
                0 => return self.queues[partition].extend(rest),
                left => assert_eq!(left, rest.len() as u64),
            }
        }
    }

    fn drain(&mut self) {
        while let Some(delivery) =
            self.output.next(7, |batch, n| batch.drain(..n as usize).collect::<Vec<_>>())
        {
            match delivery {
                Delivery::Events(to, events) => self.deal(to, &events),
                Delivery::Mark(_) => self.dealt_mark(),
            }
        }
    }

    /// A mark that all before it have been dealt; a partition may hold it back still.
    fn dealt_mark(&mut self) {
        let held = self.output.dispatcher_mut().partitions().is_ok_and(|partitions| partitions.mark());
        if !held {
            self.out();
        }
    }

    fn out(&mut self) {
        let mark = self.marks[self.marks_out];
        self.marks_out += 1;
        assert!(mark <= self.dealt, "a mark has overtaken events");
        assert!(mark == self.dealt || self.kind() == DispatcherKind::Partition, "a mark is late");
        let queued = self.queues.iter().filter_map(VecDeque::front).min();
        assert!(queued.is_none_or(|event| *event > mark), "a mark has overtaken queued events");
    }

    fn emit(&mut self, n: usize) {
        let mut events = self.fresh(n);
        // one deal at a time, as one may end a subscription
        let mut dealt = self.output.emit(n as u64).next();
        while let Some((to, n)) = dealt {
            let now: Vec<_> = events.drain(..n as usize).collect();
            self.deal(to, &now);
            dealt = self.output.emit_on(events.len() as u64).next();
        }
        if !events.is_empty() {
            assert_eq!(self.output.store(events).excess(), 0);
        }
        self.drain();
    }

    fn ask(&mut self, key: u8, n: u64) -> bool {
        let credited = self.output.dispatcher_mut().credit(&key, n);
        let Some(subscriber) = self.subscribers.get_mut(&key) else {
            assert_eq!(credited, Err(UnknownSubscriber));
            return false;
        };
        subscriber.demand += n;
        self.asked += n;
        match credited.expect("a living subscriber") {
            Credited::Plain | Credited::Exceeded(_) => {}
            Credited::Lagged(n) => {
                let events: Vec<_> = subscriber.queue.drain(..n as usize).collect();
                self.send(key, &events);
            }
            Credited::Queued(partition) => {
                while let Some(queued) =
                    self.output.dispatcher_mut().partitions().expect("partitions").serve(partition)
                {
                    match queued {
                        Queued::Events(key, n) => {
                            let events: Vec<_> = self.queues[partition].drain(..n as usize).collect();
                            self.send(key, &events);
                        }
                        Queued::Mark => self.out(),
                    }
                }
            }
        }
        self.drain();
        true
    }

    fn ask_source(&mut self, brought: Option<usize>) {
        let Some((to, n)) = self.output.deal_ahead() else {
            let claimed = self.output.claim();
            self.asked_upstream += claimed;
            return self.emit(brought.unwrap_or(claimed as usize));
        };
        self.asked_upstream += n;
        match brought {
            Some(other) if other as u64 != n => {
                self.output.take_back(to, n);
                self.emit(other);
            }
            _ => {
                let events: Vec<_> = self.fresh(n as usize).into();
                self.deal(to, &events);
            }
        }
    }

    pub fn run(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(key, partition, lag) => {
                let membership = match self.kind() {
                    DispatcherKind::Demand => Membership::Demand,
                    DispatcherKind::Broadcast => Membership::Broadcast(lag),
                    DispatcherKind::Partition => Membership::Partition(partition),
                };
                let subscribed = self.output.dispatcher_mut().subscribe(key, membership);
                if self.subscribers.contains_key(&key) {
                    return assert_eq!(subscribed, Err(AlreadySubscribed.into()));
                }
                assert_eq!(subscribed, Ok(()));
                let (demand, since, got, queue) = (0, self.dealt, vec![], VecDeque::new());
                self.subscribers
                    .insert(key, Subscriber { partition, lag, demand, got, queue, dropped: 0, since });
            }
            Step::Cancel(key) => {
                self.cancel(key);
                self.drain();
                self.asked_upstream += self.output.claim();
            }
            Step::Ask(key, n) => {
                if self.ask(key, n) {
                    self.asked_upstream += self.output.claim();
                }
            }
            Step::AskSource(key, n, times, brought) => {
                for answer in (0..times).map(|_| None).chain([Some(brought)]) {
                    if self.ask(key, n) {
                        self.ask_source(answer);
                    }
                }
            }
            Step::Emit(n) => self.emit(n),
            Step::Mark => {
                self.marks.push(self.next);
                if self.output.mark(self.next).is_some() {
                    self.dealt_mark();
                }
            }
        }
    }
}
