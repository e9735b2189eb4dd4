//! An output as its producer uses it.

#![allow(clippy::expect_used, reason = "the helpers of a test are tests too")]

mod support;

use proptest::prelude::*;
use stage_core::{Buffer, Delivery, DemandDispatcher, DispatcherKind, Keep, Output};
use support::{play, step};

proptest! {
    #[test]
    fn the_laws_hold_over_any_sequence_of_steps(steps in proptest::collection::vec(step(), 0..200)) {
        play(DispatcherKind::Demand, &steps);
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
