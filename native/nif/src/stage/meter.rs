use std::time::{Duration, Instant};

use rustler::Env;

/// One percent of a time slice of 1 ms.
const PERCENT_NS: u64 = 10_000;

/// About what a call costs that only counts.
const CALL_NS: u64 = 100;

/// Adds up what calls cost, far less than a percent of a time slice each, and reports it when it
/// has become one. A look at the clock costs half of what a call does that only counts, so those are taken for
/// equal; whatever takes longer the more there is of something goes by the clock.
#[derive(Debug, Default)]
pub struct Meter {
    unreported_ns: u64,
}

impl Meter {
    /// Runs `work` on the clock.
    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.add(start.elapsed());
        result
    }

    /// Notes what was clocked elsewhere.
    pub fn add(&mut self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.unreported_ns = self.unreported_ns.saturating_add(spent);
    }

    /// Reports the end of a call.
    pub fn report(&mut self, env: Env<'_>) {
        self.unreported_ns = self.unreported_ns.saturating_add(CALL_NS);
        let percent = self.unreported_ns / PERCENT_NS;
        if percent > 0 {
            self.unreported_ns %= PERCENT_NS;
            rustler::schedule::consume_timeslice(env, i32::try_from(percent.min(100)).unwrap_or(100));
        }
    }
}
