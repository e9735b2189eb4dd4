//! The laws of a producer, over whichever of the three dispatchers it has: nothing beyond demand, nothing lost, doubled
//! or overtaken, nothing stuck, and the source never asked for more than consumers asked for.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "the helpers of a test are tests too")]

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use stage_core::{
    AlreadySubscribed, AnyDispatcher, BroadcastDispatcher, Buffer, Credited, Delivery, DemandDispatcher,
    Dispatcher, DispatcherError, DispatcherKind, Keep, Lag, Membership, Output, PartitionDispatcher, Queued,
    Recipient, Share, UnknownSubscriber,
};

const PARTITIONS: usize = 3;

/// Events without a partition leave no trace, so as many may be asked for again.
const WITHOUT: usize = PARTITIONS;

#[derive(Debug, Clone)]
enum Step {
    /// With what it says of its partition and of lagging, whatever the dispatcher takes.
    Subscribe(u8, usize, Lag),
    Cancel(u8),
    Ask(u8, u64),
    /// Asks of a source that answers before anything else happens, so many times with what it was asked for and then
    /// with another number of events.
    AskSource(u8, u64, u8, usize),
    Emit(usize),
    Mark,
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![3 => Just(Lag::Block), 1 => (1..9u64).prop_map(Lag::DropOldest), 1 => Just(Lag::Cancel)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..5u8, 0..PARTITIONS, lag()).prop_map(|(key, at, lag)| Step::Subscribe(key, at, lag)),
        1 => (0..5u8).prop_map(Step::Cancel),
        6 => (0..5u8, 1..15u64).prop_map(|(key, n)| Step::Ask(key, n)),
        3 => (0..5u8, 1..15u64, 0..20u8, 0..25usize)
            .prop_map(|(key, n, times, brought)| Step::AskSource(key, n, times, brought)),
        4 => (0..25usize).prop_map(Step::Emit),
        1 => Just(Step::Mark),
    ]
}

fn dispatcher(kind: DispatcherKind) -> AnyDispatcher<u8> {
    match kind {
        DispatcherKind::Demand => AnyDispatcher::Demand(DemandDispatcher::default()),
        DispatcherKind::Broadcast => AnyDispatcher::Broadcast(BroadcastDispatcher::new()),
        DispatcherKind::Partition => AnyDispatcher::Partition(PartitionDispatcher::new(PARTITIONS)),
    }
}

fn partition_of(event: u32) -> usize {
    (event as usize).wrapping_mul(7) / 3 % (PARTITIONS + 1)
}

struct Subscriber {
    partition: usize,
    lag: Lag,
    demand: u64,
    got: Vec<u32>,
    /// What it lags behind.
    queue: VecDeque<u32>,
    dropped: u64,
    /// How many events had been dealt when it came.
    since: u32,
}

/// Plays the producer process: it keeps the events, cuts and sends them.
struct Producer {
    output: Output<AnyDispatcher<u8>, VecDeque<u32>, u32>,
    subscribers: BTreeMap<u8, Subscriber>,
    queues: Vec<VecDeque<u32>>,
    /// What left for good, in order, by partition; all is of the first unless the dispatcher has partitions.
    sent: Vec<Vec<u32>>,
    /// Up to which event all have been dealt.
    dealt: u32,
    marks: Vec<u32>,
    marks_out: usize,
    asked: u64,
    asked_upstream: u64,
    next: u32,
}

impl Producer {
    fn new(kind: DispatcherKind) -> Self {
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

    fn kind(&self) -> DispatcherKind {
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
            let mut deals = vec![];
            let partitions = self.output.dispatcher_mut().partitions().expect("partitions");
            assert!(partitions.deal_to(partition, list.len() as u64, |key, n| deals.push((key, n as usize))));
            let mut rest = list.as_slice();
            for (key, n) in deals {
                let (now, later) = rest.split_at(n);
                self.send(key, now);
                rest = later;
            }
            self.queues[partition].extend(rest);
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
        let queued = self.queues.iter().filter_map(VecDeque::front).min();
        assert!(queued.is_none_or(|event| *event > mark), "a mark has overtaken queued events");
    }

    fn emit(&mut self, n: usize) {
        let mut events = self.fresh(n);
        loop {
            // one at a time, as a deal may end a subscription
            let available =
                if events.len() == n { self.output.emit(n as u64).next() } else { self.more(&events) };
            let Some((to, n)) = available else { break };
            let now: Vec<_> = events.drain(..n as usize).collect();
            self.deal(to, &now);
        }
        if !events.is_empty() {
            assert_eq!(self.output.store(events).excess(), 0);
        }
        self.drain();
    }

    fn more(&mut self, events: &VecDeque<u32>) -> Option<(Recipient<u8>, u64)> {
        self.output.dispatcher_mut().deal_one(events.len() as u64)
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

    fn run(&mut self, step: &Step) {
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

    /// What holds after every step.
    fn judge(&self) {
        let dispatcher = self.output.dispatcher();
        assert!(dispatcher.demand() == 0 || self.output.buffer().is_empty(), "stuck");
        assert!(self.asked_upstream <= self.asked, "{} of {}", self.asked_upstream, self.asked);
        assert!(dispatcher.claimed() <= self.asked_upstream);
        for (key, subscriber) in &self.subscribers {
            assert_eq!(dispatcher.demand_of(key), Some(subscriber.demand));
        }
        match self.kind() {
            DispatcherKind::Demand => {
                let waiting: u64 = self.subscribers.values().map(|subscriber| subscriber.demand).sum();
                assert_eq!(dispatcher.demand(), waiting);
                assert_eq!(self.sent[0], (1..=self.dealt).collect::<Vec<_>>());
            }
            DispatcherKind::Broadcast => self.subscribers.values().for_each(|one| self.judge_share(one)),
            DispatcherKind::Partition => {
                for (partition, queue) in self.queues.iter().enumerate() {
                    let mut home = self.subscribers.values().filter(|one| one.partition == partition);
                    assert!(queue.is_empty() || home.all(|one| one.demand == 0), "stuck in {partition}");
                    let came = (1..=self.dealt).filter(|event| partition_of(*event) == partition);
                    assert!(self.sent[partition].iter().chain(queue).copied().eq(came));
                }
            }
        }
    }

    fn judge_share(&self, one: &Subscriber) {
        let mine: Vec<_> = one.got.iter().chain(&one.queue).copied().collect();
        assert_eq!(mine.len() as u64 + one.dropped, u64::from(self.dealt - one.since));
        match one.lag {
            Lag::DropOldest(limit) => {
                assert!(one.queue.len() as u64 <= limit, "more is queued than may be");
                assert!(one.queue.is_empty() || one.demand == 0, "stuck in its queue");
                assert!(mine.windows(2).all(|two| two[0] < two[1]), "doubled or overtaken");
                assert!(mine.last().is_none_or(|event| *event == self.dealt), "the newest are kept");
            }
            Lag::Block | Lag::Cancel => assert_eq!(mine, (one.since + 1..=self.dealt).collect::<Vec<_>>()),
        }
    }
}

/// Whoever takes over from all that went gets all that is left.
fn finish(producer: &mut Producer) {
    for key in 0..5 {
        producer.run(&Step::Cancel(key));
    }
    for partition in 0..PARTITIONS {
        producer.run(&Step::Subscribe(100 + partition as u8, partition, Lag::Block));
    }
    for partition in 0..PARTITIONS {
        producer.run(&Step::Ask(100 + partition as u8, 1_000_000));
    }
    producer.judge();
    assert_eq!(producer.dealt, producer.next, "all is dealt");
    assert_eq!(producer.marks_out, producer.marks.len());
    assert!(producer.queues.iter().all(VecDeque::is_empty));
}

proptest! {
    #[test]
    fn the_laws_hold_over_any_sequence_of_steps(
        kind in prop_oneof![
            Just(DispatcherKind::Demand), Just(DispatcherKind::Broadcast), Just(DispatcherKind::Partition),
        ],
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut producer = Producer::new(kind);
        for step in &steps {
            producer.run(step);
            producer.judge();
        }
        finish(&mut producer);
    }
}

#[test]
fn what_is_of_another_dispatcher_is_refused_and_changes_nothing() {
    let kinds = [DispatcherKind::Demand, DispatcherKind::Broadcast, DispatcherKind::Partition];
    let memberships = [Membership::Demand, Membership::Broadcast(Lag::Block), Membership::Partition(0)];
    for (own, kind) in kinds.into_iter().enumerate() {
        let mut any = dispatcher(kind);
        for (other, membership) in memberships.into_iter().enumerate() {
            if other != own {
                assert_eq!(any.subscribe(1, membership), Err(DispatcherError::OtherKind(kind)));
            }
        }
        assert_eq!(any.demand_of(&1), None);
        assert_eq!(any.cancel(&1), None);
        assert_eq!(any.by_demand().is_ok(), kind == DispatcherKind::Demand);
        assert_eq!(any.partitions().is_ok(), kind == DispatcherKind::Partition);
        assert_eq!(any.subscribe(1, memberships[own]), Ok(()));
        if kind != DispatcherKind::Broadcast {
            assert_eq!(any.share(&1, 1, 1), Err(DispatcherError::OtherKind(kind)));
        }
    }
}

#[test]
fn a_partition_that_there_is_not_is_refused_by_its_number() {
    let mut any = dispatcher(DispatcherKind::Partition);
    let refused = any.subscribe(1, Membership::Partition(WITHOUT)).unwrap_err();
    assert_eq!(refused, DispatcherError::UnknownPartition(WITHOUT));
    assert_eq!(refused.to_string(), "there is no partition 3");
    assert_eq!(any.subscribe(1, Membership::Partition(0)), Ok(()));
}

#[test]
fn an_ask_says_what_it_has_come_to() {
    let mut demand = dispatcher(DispatcherKind::Demand);
    demand.subscribe(1, Membership::Demand).unwrap();
    assert_eq!(demand.credit(&1, 5), Ok(Credited::Plain));
    assert_eq!(demand.credit(&1, 6), Ok(Credited::Exceeded(5)));

    let mut broadcast = dispatcher(DispatcherKind::Broadcast);
    broadcast.subscribe(1, Membership::Broadcast(Lag::Block)).unwrap();
    broadcast.subscribe(2, Membership::Broadcast(Lag::DropOldest(3))).unwrap();
    assert_eq!(broadcast.credit(&1, 5), Ok(Credited::Plain));
    assert_eq!(broadcast.deal_one(5), Some((Recipient::Everyone, 5)));
    assert_eq!(broadcast.share(&2, 5, 5), Ok(Share::Part { now: 0, dropped: 2 }));
    assert_eq!(broadcast.credit(&2, 5), Ok(Credited::Lagged(3)));

    let mut partition = dispatcher(DispatcherKind::Partition);
    partition.subscribe(1, Membership::Partition(0)).unwrap();
    assert_eq!(partition.credit(&1, 5), Ok(Credited::Plain));
    assert_eq!(partition.deal_one(5), Some((Recipient::Split, 5)));
    let mut deals = vec![];
    assert!(partition.partitions().unwrap().deal_to(1, 5, |key, n| deals.push((key, n))));
    assert_eq!(deals, []);
    partition.subscribe(2, Membership::Partition(1)).unwrap();
    assert_eq!(partition.credit(&2, 4), Ok(Credited::Queued(1)));
    assert_eq!(partition.partitions().unwrap().serve(1), Some(Queued::Events(2, 4)));
}
