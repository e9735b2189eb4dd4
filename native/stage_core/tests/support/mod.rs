//! What a producer goes through, and one that is played through it: nothing beyond demand, nothing lost, doubled or
//! overtaken, nothing stuck, and the source never asked for more than consumers asked for.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "the helpers of a test are tests too")]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod laws;
mod player;

use proptest::prelude::*;
use stage_core::{
    AnyDispatcher, BroadcastDispatcher, DemandDispatcher, DispatcherKind, Lag, PartitionDispatcher,
};

pub use laws::play;

pub const PARTITIONS: usize = 3;

/// Events without a partition leave no trace, so as many may be asked for again.
pub const WITHOUT: usize = PARTITIONS;

#[derive(Debug, Clone)]
pub enum Step {
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

pub fn step() -> impl Strategy<Value = Step> {
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

pub fn dispatcher(kind: DispatcherKind) -> AnyDispatcher<u8> {
    match kind {
        DispatcherKind::Demand => AnyDispatcher::Demand(DemandDispatcher::default()),
        DispatcherKind::Broadcast => AnyDispatcher::Broadcast(BroadcastDispatcher::new()),
        DispatcherKind::Partition => AnyDispatcher::Partition(PartitionDispatcher::new(PARTITIONS)),
    }
}

pub fn partition_of(event: u32) -> usize {
    (event as usize).wrapping_mul(7) / 3 % (PARTITIONS + 1)
}
