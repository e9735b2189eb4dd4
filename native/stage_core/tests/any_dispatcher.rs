//! The laws of a producer, over whichever of the three dispatchers it has.

mod support;

use proptest::prelude::*;
use stage_core::{
    Credited, Dispatcher, DispatcherError, DispatcherKind, Lag, Membership, Queued, Recipient, Share,
};
use support::{WITHOUT, dispatcher, play, step};

proptest! {
    #[test]
    fn the_laws_hold_over_any_sequence_of_steps(
        kind in prop_oneof![
            Just(DispatcherKind::Demand), Just(DispatcherKind::Broadcast), Just(DispatcherKind::Partition),
        ],
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        play(kind, &steps);
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
