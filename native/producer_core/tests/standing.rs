//! What is said of a producer whose consumers lag behind.

use producer_core::{Activity, Epoch, Standing};
use proptest::prelude::*;

const EPOCHS: [Epoch; 3] = [Epoch(1), Epoch(2), Epoch(3)];

#[test]
fn a_connection_counts_at_once_and_its_events_when_they_are_emitted() {
    let [first, ..] = EPOCHS;
    let mut standing = Standing::default();
    assert_eq!(standing.state(), Activity::Connecting);
    standing.taken(first);
    assert_eq!(standing.state(), Activity::Reading);
    assert!(standing.reached(first, Activity::Reading));
    assert!(standing.reached(first, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::Subscribed);
    assert!(standing.reached(first, Activity::Reading));
    assert_eq!(standing.state(), Activity::Reading);
}

#[test]
fn a_mark_that_is_reached_when_its_connection_is_gone_changes_nothing() {
    let [first, ..] = EPOCHS;
    let mut standing = Standing::default();
    standing.taken(first);
    standing.backing_off();
    assert!(!standing.reached(first, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::BackingOff);
    standing.connecting();
    assert!(!standing.reached(first, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::Connecting);
    standing.stopped();
    assert!(!standing.reached(first, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::Stopped);
}

#[test]
fn a_mark_of_an_older_connection_says_nothing_of_the_one_that_stands() {
    let [first, second, _] = EPOCHS;
    let mut standing = Standing::default();
    standing.taken(first);
    standing.backing_off();
    standing.taken(second);
    assert!(!standing.reached(first, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::Reading);
    assert!(standing.reached(second, Activity::Subscribed));
    assert_eq!(standing.state(), Activity::Subscribed);
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Connecting,
    Taken(usize),
    BackingOff,
    Reached(usize, bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        Just(Happens::Connecting),
        (0_usize..3).prop_map(Happens::Taken),
        Just(Happens::BackingOff),
        (0_usize..3, any::<bool>()).prop_map(|(epoch, live)| Happens::Reached(epoch, live)),
    ]
}

proptest! {
    /// However late the marks are: without a connection nothing is ever said to be subscribed, or read.
    #[test]
    fn nothing_is_said_to_be_subscribed_without_a_connection(all in proptest::collection::vec(happens(), 0..40)) {
        let mut standing = Standing::default();
        let mut connected = None;
        for one in all {
            match one {
                Happens::Connecting => { standing.connecting(); connected = None; }
                Happens::Taken(epoch) => { standing.taken(EPOCHS[epoch]); connected = Some(epoch); }
                Happens::BackingOff => { standing.backing_off(); connected = None; }
                Happens::Reached(epoch, live) => {
                    let state = if live { Activity::Subscribed } else { Activity::Reading };
                    prop_assert_eq!(standing.reached(EPOCHS[epoch], state), connected == Some(epoch));
                }
            }
            let is_up = matches!(standing.state(), Activity::Reading | Activity::Subscribed);
            prop_assert_eq!(is_up, connected.is_some());
        }
    }
}
