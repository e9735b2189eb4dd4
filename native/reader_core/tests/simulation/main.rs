//! Thousands of lives of a subscription, against a model of a server and a road on which everything goes wrong.
//!
//! A run is its seed: `PENSTOCK_SEED=17 cargo test -p reader_core --test simulation` repeats one and tells what happens,
//! `PENSTOCK_SEEDS=100000` runs more of them, `PENSTOCK_FIRST_SEED` other ones.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

mod checks;
mod laws;
mod model;
mod road;
mod target;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use reader_core::Counts;
use world::{Seen, World};

const USUAL: u64 = 20_000;

fn asked_for(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |number| number.parse().expect("a number"))
}

fn seeds() -> std::ops::Range<u64> {
    if std::env::var("PENSTOCK_SEED").is_ok() {
        let seed = asked_for("PENSTOCK_SEED", 0);
        return seed..seed + 1;
    }
    let first = asked_for("PENSTOCK_FIRST_SEED", 0);
    first..first + asked_for("PENSTOCK_SEEDS", USUAL)
}

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_happens_on_the_way() {
    let is_replayed = std::env::var("PENSTOCK_SEED").is_ok();
    let mut seen = [0; 9];
    for seed in seeds() {
        let mut world = World::new(seed, is_replayed);
        let result = catch_unwind(AssertUnwindSafe(|| world.run()));
        assert!(result.is_ok(), "with PENSTOCK_SEED={seed}");
        let Seen { emitted, checkpoints, located, beyond, stopped } = world.seen;
        let Counts { reconnects, stale, unknown, late } = world.counts();
        let all = [emitted, checkpoints, located, beyond, stopped, reconnects, stale, unknown, late];
        seen.iter_mut().zip(all).for_each(|(sum, one)| *sum += one);
    }
    println!("{seen:?}");
    assert!(is_replayed || seen.iter().all(|sum| *sum > 0), "something never happened: {seen:?}");
}
