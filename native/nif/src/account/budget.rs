//! What calls that make terms may still do, by estimate: knowing before beats putting back.

use producer_core::Budget;
use terms::json::weight;

use super::limits::{COPIED_BYTE_NS, DIRTY_NS, EVENT_NS, JSON_BYTE_NS, ORDINARY_NS};

/// For an ordinary call.
pub fn ordinary() -> Budget {
    Budget::ordinary(ORDINARY_NS)
}

/// For a call on a dirty scheduler.
pub fn dirty() -> Budget {
    Budget::dirty(DIRTY_NS)
}

/// What making a message's event a term costs, in nanoseconds.
pub fn event(decode: bool, message: &[u8]) -> u64 {
    let body = if decode { JSON_BYTE_NS.saturating_mul(weight(message) as u64) } else { 0 };
    EVENT_NS.saturating_add(body)
}

/// What copying something of so many bytes costs, in nanoseconds.
pub fn copy(bytes: usize) -> u64 {
    COPIED_BYTE_NS.saturating_mul(bytes as u64).saturating_add(EVENT_NS)
}
