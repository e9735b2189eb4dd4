//! The broadcast dispatcher against a model that writes down what everybody got.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use stage_core::{
    AlreadySubscribed, BroadcastDispatcher, Dispatcher, Everyone, Lag, Share, UnknownSubscriber,
};

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8),
    Cancel(u8),
    Credit(u8, u64),
    Arrive(u64),
    /// Events from a buffer, which were not asked of the source.
    Serve(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..4u8).prop_map(Step::Subscribe),
        1 => (0..4u8).prop_map(Step::Cancel),
        6 => (0..4u8, 1..20u64).prop_map(|(key, n)| Step::Credit(key, n)),
        3 => (0..30u64).prop_map(Step::Arrive),
        1 => (0..30u64).prop_map(Step::Serve),
    ]
}

proptest! {
    #[test]
    fn every_step_agrees_with_the_naive_model(steps in proptest::collection::vec(step(), 0..200)) {
        let mut dispatcher = BroadcastDispatcher::new();
        // What each has asked for, and what each has got.
        let mut asked: BTreeMap<u8, u64> = BTreeMap::new();
        let mut got: BTreeMap<u8, u64> = BTreeMap::new();
        let mut owed = 0_u64;
        for step in steps {
            match step {
                Step::Subscribe(key) => {
                    let expected = if asked.contains_key(&key) { Err(AlreadySubscribed) } else { Ok(()) };
                    asked.entry(key).or_default();
                    got.entry(key).or_default();
                    prop_assert_eq!(dispatcher.subscribe(key, Lag::Block), expected);
                }
                Step::Cancel(key) => {
                    let left = asked.remove(&key).map(|asked| asked - got.remove(&key).unwrap());
                    prop_assert_eq!(dispatcher.cancel(&key), left);
                }
                Step::Credit(key, n) => match asked.get_mut(&key) {
                    None => prop_assert_eq!(dispatcher.credit(&key, n), Err(UnknownSubscriber)),
                    Some(asked) => {
                        *asked += n;
                        prop_assert_eq!(dispatcher.credit(&key, n), Ok(0));
                    }
                },
                Step::Arrive(n) | Step::Serve(n) => {
                    if matches!(step, Step::Arrive(_)) {
                        dispatcher.arrived(n);
                        owed = owed.saturating_sub(n);
                    }
                    let common = asked.iter().map(|(key, asked)| asked - got[key]).min().unwrap_or(0).min(n);
                    got.values_mut().for_each(|got| *got += common);
                    let deals: Vec<_> = dispatcher.deal(n).collect();
                    let expected = if common > 0 { vec![(Everyone, common)] } else { vec![] };
                    prop_assert_eq!(deals, expected);
                }
            }
            let common = asked.iter().map(|(key, asked)| asked - got[key]).min().unwrap_or(0);
            prop_assert_eq!(dispatcher.demand(), common);
            let more = common.saturating_sub(owed);
            owed += more;
            prop_assert_eq!(dispatcher.claim(), more);
            prop_assert_eq!(dispatcher.claimed(), owed);
        }
    }
}

#[test]
fn a_late_subscriber_holds_the_others_up_and_the_source_is_not_asked_twice() {
    let mut dispatcher = BroadcastDispatcher::new();
    dispatcher.subscribe("early", Lag::Block).unwrap();
    dispatcher.credit(&"early", 10).unwrap();
    assert_eq!(dispatcher.claim(), 10);
    dispatcher.subscribe("late", Lag::Block).unwrap();
    dispatcher.arrived(4);
    assert_eq!(dispatcher.deal_one(4), None);
    dispatcher.credit(&"late", 4).unwrap();
    assert_eq!(dispatcher.deal_one(4), Some((Everyone, 4)));
    dispatcher.credit(&"late", 6).unwrap();
    assert_eq!(dispatcher.claim(), 0, "6 are on their way");
}

proptest! {
    #[test]
    fn a_subscriber_that_drops_the_oldest_has_the_newest_in_order(
        limit in 1..20u64,
        steps in proptest::collection::vec((any::<bool>(), 1..15u64), 1..100),
    ) {
        let mut dispatcher = BroadcastDispatcher::new();
        dispatcher.subscribe("fast", Lag::Block).unwrap();
        dispatcher.subscribe("slow", Lag::DropOldest(limit)).unwrap();
        dispatcher.credit(&"fast", u64::MAX).unwrap();
        let (mut next, mut demand) = (0, 0);
        let mut queue = VecDeque::new();
        let mut mine = VecDeque::new();
        for (ask, n) in steps {
            if ask {
                demand += n;
                let served = dispatcher.credit(&"slow", n).unwrap();
                prop_assert_eq!(served, n.min(queue.len() as u64));
                prop_assert_eq!(mine.drain(..served as usize).collect::<Vec<u64>>(),
                    queue.drain(..served as usize).collect::<Vec<u64>>());
                demand -= served;
            } else {
                prop_assert_eq!(dispatcher.deal_one(n), Some((Everyone, n)), "the slow one holds the fast one up");
                let now = demand.min(n);
                demand -= now;
                let new: Vec<u64> = (next..next + n).collect();
                next += n;
                queue.extend(&new[now as usize..]);
                while queue.len() as u64 > limit {
                    queue.pop_front();
                }
                match dispatcher.share(&"slow", n, n).unwrap() {
                    Share::All => prop_assert_eq!(now, n),
                    Share::Part { now: given, dropped } => {
                        prop_assert_eq!(given, now);
                        mine.extend(&new[now as usize..]);
                        mine.drain(..dropped as usize);
                    }
                    Share::Cancel => prop_assert!(false, "it is not to be cancelled"),
                }
            }
            prop_assert_eq!(&mine, &queue);
            prop_assert_eq!(dispatcher.demand_of(&"slow"), Some(demand));
        }
    }
}

#[test]
fn a_subscriber_that_would_rather_be_cancelled_is_when_it_lags() {
    let mut dispatcher = BroadcastDispatcher::new();
    dispatcher.subscribe("fast", Lag::Block).unwrap();
    dispatcher.subscribe("slow", Lag::Cancel).unwrap();
    dispatcher.credit(&"fast", 10).unwrap();
    dispatcher.credit(&"slow", 3).unwrap();
    assert_eq!(dispatcher.deal_one(2), Some((Everyone, 2)));
    assert_eq!(dispatcher.share(&"slow", 2, 2), Ok(Share::All));
    assert_eq!(dispatcher.deal_one(2), Some((Everyone, 2)));
    assert_eq!(dispatcher.share(&"slow", 2, 2), Ok(Share::Cancel));
}

#[test]
fn when_all_hold_nobody_up_the_fastest_sets_the_pace() {
    let mut dispatcher = BroadcastDispatcher::new();
    for (key, n) in [("slow", 2), ("fast", 5)] {
        dispatcher.subscribe(key, Lag::DropOldest(1)).unwrap();
        dispatcher.credit(&key, n).unwrap();
    }
    assert_eq!(dispatcher.claim(), 5);
    assert_eq!(dispatcher.deal(9).collect::<Vec<_>>(), [(Everyone, 5)]);
    assert_eq!(dispatcher.share(&"fast", 5, 5), Ok(Share::All));
    assert_eq!(dispatcher.share(&"slow", 5, 5), Ok(Share::Part { now: 2, dropped: 2 }));
}

#[test]
fn a_deal_ahead_is_for_all_when_all_block_and_is_taken_back_whole() {
    let mut dispatcher = BroadcastDispatcher::new();
    dispatcher.subscribe("a", Lag::Block).unwrap();
    dispatcher.subscribe("b", Lag::Block).unwrap();
    dispatcher.credit(&"a", 3).unwrap();
    assert_eq!(dispatcher.deal_ahead(), None, "b waits for nothing");
    dispatcher.credit(&"b", 5).unwrap();
    assert_eq!(dispatcher.deal_ahead(), Some((Everyone, 3)));
    assert_eq!((dispatcher.demand(), dispatcher.claimed()), (0, 0));
    dispatcher.take_back(Everyone, 3);
    assert_eq!((dispatcher.demand(), dispatcher.claimed()), (3, 3));
    assert_eq!(dispatcher.deal_ahead(), None, "the source owes 3");
    dispatcher.arrived(3);
    dispatcher.subscribe("c", Lag::DropOldest(1)).unwrap();
    assert_eq!(dispatcher.deal_ahead(), None, "c holds nobody up");
}
