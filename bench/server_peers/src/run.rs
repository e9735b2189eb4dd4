//! What a run of appends came to.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::time::{Duration, Instant};

pub type Failure = Box<dyn Error + Send + Sync>;

pub fn milliseconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// The latencies of one client's appends.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, began: Instant) {
        self.0.push(began.elapsed());
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

pub struct Ran {
    pub wall: Duration,
    pub latencies: Latencies,
}

impl fmt::Display for Ran {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.latencies.0.clone();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get(sorted.len() * share / 100).map_or(0, Duration::as_nanos);
        let (count, wall) = (sorted.len(), self.wall.as_nanos());
        write!(out, "appends {count} ns {wall} p50_ns {} p99_ns {}", at(50), at(99))
    }
}
