//! What calls may take, and what is reckoned for their parts. Every threshold of time stands here.
//!
//! An ordinary call has to stay below the millisecond after which a scheduler's other processes suffer. What grows
//! with its arguments is cut into slices, each reckoned beforehand or clocked on the way, or goes to a dirty scheduler.
//! The costs were measured on one core, for the worst of the usual kinds, and reckoned dearer than that.

use std::time::Duration;

/// Calls are reported as if a time slice were this, half of what it is: the last call begins before the slice is used
/// up, and so a process that does nothing but call stays below the millisecond with it.
pub const SLICE_NS: u64 = 500_000;

/// About what a call costs that only counts.
pub const CALL_NS: u64 = 100;

/// What an ordinary call may come to by estimate, in nanoseconds.
pub const ORDINARY_NS: u64 = 250_000;

/// The same on a dirty scheduler, where only the next call waits.
pub const DIRTY_NS: u64 = 20_000_000;

/// An event of 100 B without its body.
pub const EVENT_NS: u64 = 1_200;

/// A byte of a long string in JSON; of other text, `terms::json::weight` says how many such bytes it is reckoned for.
pub const JSON_BYTE_NS: u64 = 3;

/// A byte that is copied into a binary of its own takes 0.2 to 1 ns, most where the memory is new.
pub const COPIED_BYTE_NS: u64 = 1;

/// A message, beside what is in it.
pub const MESSAGE_NS: u64 = 500;

/// The text that an ordinary call writes as JSON at most, in bytes and terms; then it gives up for the dirty variant.
pub const JSON_WRITTEN: usize = 16 * 1024;

/// How long copying events off a heap may take, before the rest is for another call.
pub const COPYING: Duration = Duration::from_micros(150);

/// How long looking at events may take, before the rest is for another call.
pub const LOOKING: Duration = Duration::from_micros(200);

/// So many parts of terms are looked at in one call.
pub const PARTS: usize = 8192;

/// So many deals are made in one call, each in 0.1 to 2 us, most where subscribers are many.
pub const DEALS: usize = 128;

/// So many subscribers, partitions, or parts of a buffer take too long to free where they are let go of.
pub const MANY_TO_FREE: usize = 1000;

/// So many events take too long to free where they are let go of.
pub const SLOW_TO_FREE: usize = 2_000;
