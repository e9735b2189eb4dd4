//! The demand dispatcher against a model that searches instead of keeping order.

use proptest::prelude::*;
use stage_core::{AlreadySubscribed, DemandDispatcher, DemandOptions, Dispatcher, UnknownSubscriber};

/// One line per subscriber: key, demand, and when its demand last changed.
#[derive(Default)]
struct Model {
    lines: Vec<(u8, u64, u64)>,
    clock: u64,
    claimed: u64,
}

impl Model {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn demand(&self) -> u64 {
        self.lines.iter().map(|line| line.1).sum()
    }

    fn deal(&mut self, mut available: u64) -> Vec<(u8, u64)> {
        let mut deals = Vec::new();
        while available > 0 {
            let now = self.tick();
            let best = self.lines.iter_mut().max_by_key(|line| (line.1, std::cmp::Reverse(line.2)));
            let Some(line) = best.filter(|line| line.1 > 0) else { break };
            let n = line.1.min(available);
            available -= n;
            *line = (line.0, line.1 - n, now);
            deals.push((line.0, n));
        }
        deals
    }
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8),
    Cancel(u8),
    Ask(u8, u64),
    Arrive(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..5u8).prop_map(Step::Subscribe),
        1 => (0..5u8).prop_map(Step::Cancel),
        4 => (0..5u8, 1..20u64).prop_map(|(key, n)| Step::Ask(key, n)),
        3 => (0..30u64).prop_map(Step::Arrive),
    ]
}

proptest! {
    #[test]
    fn every_step_agrees_with_the_naive_model(steps in proptest::collection::vec(step(), 0..200)) {
        let mut dispatcher = DemandDispatcher::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Subscribe(key) => {
                    let known = model.lines.iter().any(|line| line.0 == key);
                    let now = model.tick();
                    if known {
                        prop_assert_eq!(dispatcher.subscribe(key), Err(AlreadySubscribed));
                    } else {
                        model.lines.push((key, 0, now));
                        prop_assert_eq!(dispatcher.subscribe(key), Ok(()));
                    }
                }
                Step::Cancel(key) => {
                    let demand = model.lines.iter().find(|line| line.0 == key).map(|line| line.1);
                    model.lines.retain(|line| line.0 != key);
                    prop_assert_eq!(dispatcher.cancel(&key), demand);
                }
                Step::Ask(key, n) => {
                    let now = model.tick();
                    match model.lines.iter_mut().find(|line| line.0 == key) {
                        None => prop_assert_eq!(dispatcher.ask(&key, n), Err(UnknownSubscriber)),
                        Some(line) => {
                            *line = (key, line.1 + n, now);
                            let more = model.demand().saturating_sub(model.claimed);
                            model.claimed += more;
                            prop_assert_eq!(dispatcher.ask(&key, n).unwrap().upstream, more);
                        }
                    }
                }
                Step::Arrive(n) => {
                    model.claimed = model.claimed.saturating_sub(n);
                    dispatcher.arrived(n);
                    let deals: Vec<_> = dispatcher.deal(n).collect();
                    prop_assert_eq!(deals, model.deal(n));
                }
            }
            prop_assert_eq!(dispatcher.demand(), model.demand());
            prop_assert_eq!(dispatcher.claimed(), model.claimed);
            prop_assert_eq!(dispatcher.subscribers(), model.lines.len());
            for (key, demand, _) in &model.lines {
                prop_assert_eq!(dispatcher.demand_of(key), Some(*demand));
            }
        }
    }

    #[test]
    fn a_shuffled_first_deal_serves_everyone_what_they_asked_for(
        seed: u64, asks in proptest::collection::vec(1..50u64, 1..10),
    ) {
        let options = DemandOptions { shuffle_first_deal: Some(seed), max_demand: None, rate: None };
        let mut dispatcher = DemandDispatcher::new(options);
        for (key, n) in asks.iter().enumerate() {
            dispatcher.subscribe(key).unwrap();
            dispatcher.ask(&key, *n).unwrap();
        }
        let mut deals: Vec<_> = dispatcher.deal(u64::MAX).collect();
        prop_assert!(deals.is_sorted_by_key(|(_, n)| std::cmp::Reverse(*n)));
        deals.sort_unstable();
        prop_assert_eq!(deals, asks.into_iter().enumerate().collect::<Vec<_>>());
    }
}

#[test]
fn demand_left_behind_by_a_cancelled_subscriber_is_not_asked_for_again() {
    let mut dispatcher = DemandDispatcher::default();
    dispatcher.subscribe("a").unwrap();
    assert_eq!(dispatcher.ask(&"a", 10).unwrap().upstream, 10);
    assert_eq!(dispatcher.cancel(&"a"), Some(10));
    dispatcher.subscribe("b").unwrap();
    assert_eq!(dispatcher.ask(&"b", 7).unwrap().upstream, 0);
    assert_eq!(dispatcher.ask(&"b", 7).unwrap().upstream, 4);
}

#[test]
fn an_ask_beyond_the_first_or_the_given_one_is_reported() {
    let mut dispatcher = DemandDispatcher::default();
    dispatcher.subscribe("a").unwrap();
    assert_eq!(dispatcher.ask(&"a", 10).unwrap().exceeded, None);
    assert_eq!(dispatcher.ask(&"a", 11).unwrap().exceeded, Some(10));

    let mut dispatcher = DemandDispatcher::new(DemandOptions { max_demand: Some(3), ..Default::default() });
    dispatcher.subscribe("a").unwrap();
    assert_eq!(dispatcher.ask(&"a", 4).unwrap().exceeded, Some(3));
}

#[test]
fn equal_seeds_shuffle_alike_and_some_seed_moves_the_first() {
    let first = |seed| {
        let options = DemandOptions { shuffle_first_deal: Some(seed), max_demand: None, rate: None };
        let mut dispatcher = DemandDispatcher::new(options);
        for key in 0..8 {
            dispatcher.subscribe(key).unwrap();
            dispatcher.ask(&key, 5).unwrap();
        }
        dispatcher.deal_one(5).unwrap().0
    };
    assert_eq!(first(7), first(7));
    assert!((0..50).any(|seed| first(seed) != 0));
}

#[test]
fn demand_beyond_the_largest_number_saturates() {
    let mut dispatcher = DemandDispatcher::default();
    dispatcher.subscribe("a").unwrap();
    dispatcher.subscribe("b").unwrap();
    assert_eq!(dispatcher.ask(&"a", u64::MAX).unwrap().upstream, u64::MAX);
    assert_eq!(dispatcher.ask(&"b", 5).unwrap().upstream, 0);
    assert_eq!(dispatcher.cancel(&"a"), Some(u64::MAX));
    assert_eq!(dispatcher.demand(), 0);
}

proptest! {
    #[test]
    fn between_refills_no_more_leave_than_the_rate_and_the_source_is_asked_for_no_more(
        rate in 1..20u64, steps in proptest::collection::vec((0..3u8, 1..30u64), 1..100),
    ) {
        let mut dispatcher = DemandDispatcher::new(DemandOptions { rate: Some(rate), ..Default::default() });
        dispatcher.subscribe("a").unwrap();
        let (mut waiting, mut left, mut owed) = (0, rate, 0);
        for (step, n) in steps {
            match step {
                0 => {
                    dispatcher.credit(&"a", n).unwrap();
                    waiting += n;
                }
                1 => {
                    dispatcher.arrived(n);
                    owed = u64::saturating_sub(owed, n);
                    let dealt: u64 = dispatcher.deal(n).map(|deal| deal.1).sum();
                    prop_assert_eq!(dealt, n.min(left).min(waiting));
                    left -= dealt;
                    waiting -= dealt;
                }
                _ => {
                    dispatcher.refill();
                    left = rate;
                }
            }
            prop_assert_eq!(dispatcher.is_counting(), left < rate);
            prop_assert_eq!(dispatcher.demand(), left.min(waiting));
            let more = left.min(waiting).saturating_sub(owed);
            owed += more;
            prop_assert_eq!(dispatcher.claim(), more);
        }
    }
}
