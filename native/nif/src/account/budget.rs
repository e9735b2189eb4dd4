//! What one call may still do, by estimate: knowing before beats putting back.

use super::limits::{COPIED_BYTE_NS, DIRTY_NS, EVENT_NS, JSON_BYTE_NS, ORDINARY_NS};

/// What a call may cost, in nanoseconds.
pub struct Budget {
    left: u64,
    /// The next thing is taken whatever it costs, or nothing would ever come of it.
    one_at_any_cost: bool,
}

impl Budget {
    pub fn ordinary() -> Self {
        Self { left: ORDINARY_NS, one_at_any_cost: false }
    }

    pub fn dirty() -> Self {
        Self { left: DIRTY_NS, one_at_any_cost: true }
    }

    /// Whether an event of so many bytes may be made a term.
    pub fn affords(&mut self, decode: bool, bytes: usize) -> bool {
        let body = if decode { JSON_BYTE_NS * bytes as u64 } else { 0 };
        self.spend(EVENT_NS + body)
    }

    /// Whether something of so many bytes may be copied.
    pub fn affords_copy(&mut self, bytes: usize) -> bool {
        self.spend(EVENT_NS + COPIED_BYTE_NS * bytes as u64)
    }

    fn spend(&mut self, cost: u64) -> bool {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.is_some() | std::mem::take(&mut self.one_at_any_cost)
    }
}
