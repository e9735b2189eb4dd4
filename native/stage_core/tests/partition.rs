//! The partition dispatcher, played as a producer plays it, against the laws of delivery.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the helpers of a test are tests too")]

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use stage_core::{AlreadySubscribed, Dispatcher, PartitionDispatcher, Queued, Split, UnknownSubscriber};

const PARTITIONS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8, usize),
    Cancel(u8),
    Ask(u8, u64),
    /// Events by their partitions; one beyond the last belongs to none.
    Arrive(Vec<usize>),
    Mark,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..6u8, 0..PARTITIONS).prop_map(|(key, partition)| Step::Subscribe(key, partition)),
        1 => (0..6u8).prop_map(Step::Cancel),
        6 => (0..6u8, 1..15u64).prop_map(|(key, n)| Step::Ask(key, n)),
        4 => proptest::collection::vec(0..=PARTITIONS, 0..25).prop_map(Step::Arrive),
        1 => Just(Step::Mark),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Waiting {
    Event(u32),
    Mark,
}

fn deal_to(core: &mut PartitionDispatcher<u8>, partition: usize, n: u64) -> Vec<(u8, u64)> {
    let mut deals = vec![];
    core.deal_to(partition, n, |key, n| deals.push((key, n)));
    deals
}

/// Plays the process around the dispatcher: it keeps the events.
struct Producer {
    core: PartitionDispatcher<u8>,
    /// Partition and demand of each subscriber.
    subscribers: BTreeMap<u8, (usize, u64)>,
    /// All that came, until there is demand for it.
    buffer: VecDeque<(usize, u32)>,
    queues: Vec<VecDeque<Waiting>>,
    sent: Vec<Vec<u32>>,
    came: Vec<Vec<u32>>,
    marked: u64,
    released: u64,
    asked: u64,
    asked_upstream: u64,
    next: u32,
}

impl Producer {
    fn new() -> Self {
        Self {
            core: PartitionDispatcher::new(PARTITIONS),
            subscribers: BTreeMap::new(),
            buffer: VecDeque::new(),
            queues: (0..PARTITIONS).map(|_| VecDeque::new()).collect(),
            sent: vec![vec![]; PARTITIONS],
            came: vec![vec![]; PARTITIONS],
            marked: 0,
            released: 0,
            asked: 0,
            asked_upstream: 0,
            next: 0,
        }
    }

    fn send(&mut self, key: u8, partition: usize, n: u64) {
        let subscriber = self.subscribers.get_mut(&key).expect("a living subscriber");
        assert_eq!(subscriber.0, partition);
        assert!(n > 0 && n <= subscriber.1, "{n} sent against a demand of {}", subscriber.1);
        subscriber.1 -= n;
        for _ in 0..n {
            while self.queues[partition].front() == Some(&Waiting::Mark) {
                self.queues[partition].pop_front();
            }
            let event = match self.queues[partition].pop_front() {
                Some(Waiting::Event(event)) => Some(event),
                _ => None,
            };
            self.sent[partition].push(event.expect("as many events as the dispatcher deals"));
        }
    }

    fn serve(&mut self, partition: usize) {
        while let Some(queued) = self.core.serve(partition) {
            match queued {
                Queued::Events(key, n) => self.send(key, partition, n),
                Queued::Mark => self.released += 1,
            }
        }
    }

    fn split(&mut self) {
        while let Some((Split, n)) = self.core.deal_one(self.buffer.len() as u64) {
            let mut counts = [0; PARTITIONS];
            let mut none = 0;
            for (partition, event) in self.buffer.drain(..n as usize).collect::<Vec<_>>() {
                match counts.get_mut(partition) {
                    Some(count) => {
                        *count += 1;
                        self.queues[partition].push_back(Waiting::Event(event));
                    }
                    None => none += 1,
                }
            }
            self.core.without_partition(none);
            for (partition, n) in counts.into_iter().enumerate() {
                for (key, n) in deal_to(&mut self.core, partition, n) {
                    self.send(key, partition, n);
                }
            }
        }
        self.asked_upstream += self.core.claim();
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Subscribe(key, partition) => {
                let known = self.subscribers.contains_key(&key);
                let expected = if known { Err(AlreadySubscribed) } else { Ok(true) };
                self.subscribers.entry(key).or_insert((partition, 0));
                assert_eq!(self.core.subscribe(key, partition), expected);
            }
            Step::Cancel(key) => {
                let left = self.subscribers.remove(&key).map(|subscriber| subscriber.1);
                assert_eq!(self.core.cancel(&key), left);
            }
            Step::Ask(key, n) => match self.subscribers.get_mut(&key) {
                None => assert_eq!(self.core.credit(&key, n), Err(UnknownSubscriber)),
                Some((partition, demand)) => {
                    *demand += n;
                    self.asked += n;
                    let partition = *partition;
                    if let Some(queue) = self.core.credit(&key, n).expect("a subscriber") {
                        assert_eq!(queue, partition);
                        self.serve(queue);
                    }
                }
            },
            Step::Arrive(partitions) => {
                self.core.arrived(partitions.len() as u64);
                for partition in partitions {
                    self.next += 1;
                    self.buffer.push_back((partition, self.next));
                    if partition < PARTITIONS {
                        self.came[partition].push(self.next);
                    }
                }
            }
            Step::Mark => {
                let waiting = self.core.mark();
                let queued = |queue: &VecDeque<Waiting>| queue.iter().any(|w| matches!(w, Waiting::Event(_)));
                assert_eq!(waiting, self.queues.iter().any(queued));
                if waiting {
                    self.marked += 1;
                    self.queues.iter_mut().filter(|queue| queued(queue)).for_each(|queue| {
                        queue.push_back(Waiting::Mark);
                    });
                }
            }
        }
        self.split();
    }
}

proptest! {
    #[test]
    fn the_laws_hold_over_any_sequence_of_steps(steps in proptest::collection::vec(step(), 0..200)) {
        let mut producer = Producer::new();
        for step in steps {
            let nones = matches!(&step, Step::Arrive(partitions) if partitions.contains(&PARTITIONS));
            let before = producer.asked_upstream;
            producer.run(step);
            prop_assert!(nones || producer.asked_upstream - before <= producer.asked, "asked beyond demand");
            prop_assert!(producer.core.claimed() <= producer.asked);
            prop_assert!(producer.core.queued() <= producer.asked, "a queue beyond what was asked for");
            prop_assert!(producer.core.demand() == 0 || producer.buffer.is_empty(), "stuck before the split");
            for (partition, queue) in producer.queues.iter().enumerate() {
                let waits = producer.subscribers.values().any(|(home, n)| *home == partition && *n > 0);
                let queued = queue.iter().any(|waiting| matches!(waiting, Waiting::Event(_)));
                prop_assert!(!(waits && queued), "stuck in partition {}", partition);
            }
        }
        for partition in 0..PARTITIONS {
            let key = 100 + partition as u8;
            producer.run(Step::Subscribe(key, partition));
        }
        // Whoever takes over from all that went gets all that is left.
        for partition in 0..PARTITIONS {
            producer.run(Step::Ask(100 + partition as u8, 1_000_000));
        }
        for key in 0..6 {
            producer.run(Step::Cancel(key));
        }
        for partition in 0..PARTITIONS {
            prop_assert_eq!(&producer.sent[partition], &producer.came[partition]);
        }
        prop_assert_eq!(producer.released, producer.marked);
    }
}

#[test]
fn a_mark_comes_out_of_a_queue_behind_what_stood_before_it() {
    let mut core = PartitionDispatcher::new(2);
    for key in 0..2 {
        core.subscribe(key, usize::from(key)).unwrap();
        core.credit(&key, 4).unwrap();
    }
    core.deal_one(8).unwrap();
    assert_eq!(deal_to(&mut core, 0, 5), [(0, 4)]);
    assert!(core.mark());
    assert_eq!(deal_to(&mut core, 1, 3), [(1, 3)]);
    assert_eq!(core.credit(&0, 1), Ok(Some(0)));
    assert_eq!(core.serve(0), Some(Queued::Events(0, 1)));
    assert_eq!(core.serve(0), Some(Queued::Mark));
    assert_eq!(core.serve(0), None);
    assert!(!core.mark());
}

#[test]
fn a_partition_that_there_is_not_takes_no_subscriber() {
    let mut core = PartitionDispatcher::new(2);
    assert_eq!(core.subscribe("a", 2), Ok(false));
    assert_eq!(core.cancel(&"a"), None);
}

#[test]
fn who_holds_a_partition_is_told_once_they_are_so_many() {
    let mut core = PartitionDispatcher::new(2);
    assert_eq!(core.holders(1, 1), Some(vec![]));
    assert_eq!(core.subscribe(7u8, 1), Ok(true));
    assert_eq!(core.subscribe(8, 1), Ok(true));
    assert_eq!(core.holders(1, 3), Some(vec![]));
    assert_eq!(core.holders(1, 2), Some(vec![7, 8]));
    assert_eq!(core.cancel(&7), Some(0));
    assert_eq!(core.holders(1, 1), Some(vec![8]));
    assert_eq!(core.holders(0, 1), Some(vec![]));
    assert_eq!(core.holders(2, 1), None);
}
