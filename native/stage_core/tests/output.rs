//! The laws of a producer: nothing beyond demand, nothing lost, doubled or overtaken, nothing stuck, and
//! the source never asked for more than consumers asked for.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "the helpers of a test are tests too")]

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use stage_core::{Buffer, Delivery, DemandDispatcher, Keep, Output};

type Terms = Output<DemandDispatcher<u8>, VecDeque<u32>, u32>;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8),
    Cancel(u8),
    Ask(u8, u64),
    /// Asks of a source that answers before anything else happens, so many times with what it was asked for and then
    /// with another number of events.
    AskSource(u8, u64, u8, usize),
    Emit(usize),
    Mark,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4u8).prop_map(Step::Subscribe),
        1 => (0..4u8).prop_map(Step::Cancel),
        5 => (0..4u8, 1..15u64).prop_map(|(key, n)| Step::Ask(key, n)),
        3 => (0..4u8, 1..15u64, 0..20u8, 0..25usize)
            .prop_map(|(key, n, times, brought)| Step::AskSource(key, n, times, brought)),
        4 => (0..25usize).prop_map(Step::Emit),
        1 => Just(Step::Mark),
    ]
}

/// Plays the producer process: what it sends, in order, and the counts to judge it by.
struct Producer {
    output: Terms,
    sent: Vec<u32>,
    demand: HashMap<u8, u64>,
    asked: u64,
    asked_upstream: u64,
    next: u32,
}

impl Producer {
    fn fresh(&mut self, n: usize) -> VecDeque<u32> {
        (0..n)
            .map(|_| {
                self.next += 1;
                self.next
            })
            .collect()
    }

    fn deliver(&mut self, to: u8, events: &mut dyn Iterator<Item = u32>) {
        let before = self.sent.len();
        self.sent.extend(events);
        let demand = self.demand.get_mut(&to).expect("a living consumer");
        let n = (self.sent.len() - before) as u64;
        assert!(n > 0 && n <= *demand, "{n} events delivered against a demand of {demand}");
        *demand -= n;
    }

    fn drain(&mut self) {
        while let Some(delivery) =
            self.output.next(7, |batch, n| batch.drain(..n as usize).collect::<Vec<_>>())
        {
            match delivery {
                Delivery::Events(to, events) => self.deliver(to, &mut events.into_iter()),
                Delivery::Mark(mark) => self.sent.push(mark),
            }
        }
    }

    fn emit(&mut self, n: usize) {
        let mut events = self.fresh(n);
        let deals: Vec<_> = self.output.emit(n as u64).collect();
        for (to, n) in deals {
            self.deliver(to, &mut events.drain(..n as usize));
        }
        if !events.is_empty() {
            assert_eq!(self.output.store(events).excess(), 0);
        }
    }

    fn ask(&mut self, key: u8, n: u64) -> bool {
        let known = self.output.dispatcher_mut().credit(&key, n).is_ok();
        if known {
            *self.demand.get_mut(&key).expect("a living consumer") += n;
            self.asked += n;
            self.drain();
        }
        known
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
                let events = self.fresh(n as usize);
                self.deliver(to, &mut events.into_iter());
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Subscribe(key) => {
                if self.output.dispatcher_mut().subscribe(key).is_ok() {
                    assert_eq!(self.demand.insert(key, 0), None);
                }
            }
            Step::Cancel(key) => {
                assert_eq!(self.output.dispatcher_mut().cancel(&key), self.demand.remove(&key))
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
                let mark = self.fresh(1)[0];
                self.sent.extend(self.output.mark(mark));
            }
        }
    }
}

proptest! {
    #[test]
    fn the_laws_hold_over_any_sequence_of_steps(steps in proptest::collection::vec(step(), 0..200)) {
        let output = Output::new(DemandDispatcher::default(), Buffer::new(None, Keep::Last));
        let mut producer = Producer {
            output, sent: vec![], demand: HashMap::new(), asked: 0, asked_upstream: 0, next: 0,
        };
        for step in steps {
            producer.run(step);
            let waiting: u64 = producer.demand.values().sum();
            prop_assert_eq!(producer.output.dispatcher().demand(), waiting);
            prop_assert!(waiting == 0 || producer.output.buffer().is_empty(), "stuck");
            prop_assert!(producer.asked_upstream <= producer.asked);
            prop_assert!(producer.output.dispatcher().claimed() <= producer.asked_upstream);
        }
        producer.run(Step::Cancel(9));
        producer.run(Step::Subscribe(9));
        producer.run(Step::Ask(9, u64::from(u32::MAX)));
        prop_assert_eq!(producer.sent, (1..=producer.next).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_dead_consumer_asked_for_is_buffered_and_the_next_ask_is_served_from_there_first() {
    let mut output: Output<DemandDispatcher<&str>, u64, ()> =
        Output::new(DemandDispatcher::default(), Buffer::new(None, Keep::Last));
    let take = |batch: &mut u64, n| {
        *batch -= n;
        n
    };
    output.dispatcher_mut().subscribe("dead").unwrap();
    output.dispatcher_mut().credit(&"dead", 10).unwrap();
    assert_eq!(output.claim(), 10);
    output.dispatcher_mut().cancel(&"dead");
    assert_eq!(output.emit(4).count(), 0);
    output.store(4);
    output.dispatcher_mut().subscribe("new").unwrap();
    output.dispatcher_mut().credit(&"new", 5).unwrap();
    assert_eq!(output.next(100, take), Some(Delivery::Events("new", 4)));
    assert_eq!(output.next(100, take), None);
    assert_eq!(output.claim(), 0, "the source still owes 6");
}

/// An output of one subscriber whose source has met its claims so far.
fn prompt() -> Output<DemandDispatcher<&'static str>, u64, ()> {
    let mut output = Output::new(DemandDispatcher::default(), Buffer::new(None, Keep::Last));
    output.dispatcher_mut().subscribe("a").expect("a new one");
    let mut asks = 0;
    loop {
        output.dispatcher_mut().credit(&"a", 5).expect("a known one");
        if let Some(dealt) = output.deal_ahead() {
            assert_eq!(dealt, ("a", 5));
            assert!(asks > 0, "nothing is known of the source yet");
            return output;
        }
        assert_eq!(output.claim(), 5);
        assert_eq!(output.emit(5).collect::<Vec<_>>(), [("a", 5)]);
        asks += 1;
    }
}

#[test]
fn a_deal_ahead_that_is_taken_back_leaves_the_claim_and_the_demand() {
    let mut output = prompt();
    output.take_back("a", 5);
    assert_eq!((output.dispatcher().demand(), output.dispatcher().claimed()), (5, 5));
    assert_eq!(output.emit(3).collect::<Vec<_>>(), [("a", 3)]);
    assert_eq!((output.dispatcher().demand(), output.dispatcher().claimed()), (2, 2));
    output.dispatcher_mut().credit(&"a", 1).unwrap();
    assert_eq!(output.deal_ahead(), None, "it is not to be expected any more");
    assert_eq!(output.claim(), 1);
}

#[test]
fn nothing_is_dealt_ahead_that_more_than_one_would_get_or_that_the_source_owes() {
    let mut output = prompt();
    output.dispatcher_mut().subscribe("b").unwrap();
    for key in ["a", "b"] {
        output.dispatcher_mut().credit(&key, 2).unwrap();
    }
    assert_eq!(output.deal_ahead(), None);
    assert_eq!(output.claim(), 4);
    output.dispatcher_mut().cancel(&"b");
    assert_eq!(output.deal_ahead(), None, "the source owes 4");
}
