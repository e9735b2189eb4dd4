//! What one call may still do, by estimate.

use super::limits::{COPIED_BYTE_NS, DIRTY_NS, EVENT_NS, JSON_BYTE_NS, ORDINARY_NS};

/// What a call may cost that is no producer's.
pub struct Budget(producer_core::Budget);

impl Budget {
    pub fn ordinary() -> Self {
        Self(producer_core::Budget::ordinary(ORDINARY_NS))
    }

    pub fn dirty() -> Self {
        Self(producer_core::Budget::dirty(DIRTY_NS))
    }

    /// Whether an event of so many bytes may be made a term.
    pub fn affords(&mut self, decode: bool, bytes: usize) -> bool {
        let body = if decode { JSON_BYTE_NS * bytes as u64 } else { 0 };
        self.0.affords(EVENT_NS + body)
    }

    /// Whether something of so many bytes may be copied.
    pub fn affords_copy(&mut self, bytes: usize) -> bool {
        self.0.affords(EVENT_NS + COPIED_BYTE_NS * bytes as u64)
    }
}
