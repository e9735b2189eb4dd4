//! A producer, its source and its owner, who plays by what the producer says; and what they are judged by.

mod world;

use fastrand::Rng;
use producer_core::Frame;
use stage_core::{Lag, Membership};

use world::World;

/// Which dispatcher there is, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Demand,
    Broadcast,
    Partition,
    Taken,
}

/// Events by number, each of as many bytes as `SIZES` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(pub std::ops::Range<u64>);

pub const PARTITIONS: u64 = 3;

impl Frame for Numbers {
    fn events(&self) -> usize {
        (self.0.end - self.0.start) as usize
    }

    fn bytes_of(&self, event: usize) -> usize {
        // now and then one that no ordinary call affords
        let number = self.0.start + event as u64;
        if number % 97 == 96 { 5000 } else { (number % 7) as usize }
    }

    fn hash_of(&self, event: usize) -> u64 {
        partition_of(self.0.start + event as u64)
    }
}

/// Unevenly, and not in turn.
pub fn partition_of(number: u64) -> u64 {
    (number * number / 5) % PARTITIONS
}

pub fn walk(kind: Kind, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(kind, &mut rng);
    for _ in 0..rng.usize(1..120) {
        step(&mut world, &mut rng);
        world.check();
    }
    world.finish();
}

fn step(world: &mut World, rng: &mut Rng) {
    let key = rng.u64(0..4);
    match rng.u32(0..24) {
        0..2 => world.subscribe(key, membership(world.kind, rng)),
        2 => world.cancel(key),
        3..8 => world.ask(key, rng.u64(1..30)),
        8..14 => world.put(rng.u64(1..25)),
        14..16 => world.mark(),
        16..18 => world.wake(),
        18 => world.set_forward(rng.bool()),
        19 => world.connect(),
        20 => world.drop_connection(),
        21 => world.caught_up(),
        _ => world.choose_decliner(rng),
    }
}

fn membership(kind: Kind, rng: &mut Rng) -> Membership {
    match kind {
        Kind::Demand | Kind::Taken => Membership::Demand,
        Kind::Partition => Membership::Partition(rng.usize(0..PARTITIONS as usize)),
        Kind::Broadcast => Membership::Broadcast(match rng.u32(0..4) {
            0 => Lag::DropOldest(rng.u64(1..20)),
            1 => Lag::Cancel,
            _ => Lag::Block,
        }),
    }
}
