//! Telling the scheduler how long a NIF took, so that it lets other processes run in time.

use std::time::Instant;

use rustler::Env;
use rustler::schedule::consume_timeslice;

/// A timeslice is about a millisecond. Calls are reported as if it were half of one: the last call begins before the
/// slice is used up, and so a process that does nothing but call stays below the millisecond with it.
const SLICE_NANOS: u128 = 500_000;

/// Reports the time since `started`. On a dirty scheduler it does nothing.
pub fn report(env: Env, started: Instant) {
    let percent = started.elapsed().as_nanos() * 100 / SLICE_NANOS;
    if percent > 0 {
        consume_timeslice(env, i32::try_from(percent.min(100)).unwrap_or(100));
    }
}
