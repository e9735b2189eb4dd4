//! The time, as events carry it.

use std::time::{SystemTime, UNIX_EPOCH};

use store_core::Ticks;

/// The time, in the ticks that events carry.
pub fn now() -> Ticks {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100).unwrap_or(Ticks::MAX)
}
