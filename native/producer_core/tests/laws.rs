//! The laws of a native producer, over random schedules: nothing beyond demand, nothing lost, doubled or overtaken, nothing
//! stuck (whenever there is work a wake is due), marks in their place, room signalled at half.
//!
//! Each schedule is made from a seed, which a failure prints; `PENSTOCK_SEED=n` plays that one alone, `PENSTOCK_SEEDS=n` plays
//! the first `n`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test are tests too"
)]

mod support;

use support::{Kind, walk};

const SEEDS: u64 = 5000;

fn given(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} takes a number, got: {value}")))
}

fn all(kind: Kind) {
    let seeds = match given("PENSTOCK_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=given("PENSTOCK_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let walked = std::panic::catch_unwind(|| walk(kind, seed));
        assert!(walked.is_ok(), "{kind:?} fails with PENSTOCK_SEED={seed}");
    }
}

#[test]
fn they_hold_by_demand() {
    all(Kind::Demand);
}

#[test]
fn they_hold_for_a_broadcast() {
    all(Kind::Broadcast);
}

#[test]
fn they_hold_by_partition() {
    all(Kind::Partition);
}

#[test]
fn they_hold_for_an_owner_who_takes_the_events_itself() {
    all(Kind::Taken);
}
