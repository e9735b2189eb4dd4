//! Exponential waiting with jitter.

use std::time::Duration;

/// How long to wait between attempts: doubling from `first` up to `most`, each wait shortened by up to half at
/// random so that many readers of one server do not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// A connection that lasted this long is healthy: the next failure counts as the first one again.
    pub healthy_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            healthy_after: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait before attempt number `failures + 1`; `chance` in 0.0..=1.0 shortens it.
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (1..=8).map(|failures| backoff.wait(failures, 0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.wait(u32::MAX, 0.0), backoff.most);
    }

    #[test]
    fn chance_takes_away_at_most_half() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(1, 1.0).as_millis(), 50);
        assert_eq!(backoff.wait(1, 7.0).as_millis(), 50);
    }
}
