/// What giving out events costs, in nanoseconds by estimate: knowing before beats putting back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// An event without its body.
    pub event: u64,
    /// A byte of an event.
    pub byte: u64,
    /// A message, beside what is in it.
    pub message: u64,
}

/// A copy of what was built costs less than building it: a quarter, by estimate.
const COPY: u64 = 4;

impl Cost {
    /// An event of so many bytes.
    pub(crate) fn of(self, bytes: usize) -> u64 {
        self.byte.saturating_mul(bytes as u64).saturating_add(self.event)
    }

    /// The same, when it may become a message of its own.
    pub(crate) fn alone(self, bytes: usize) -> u64 {
        self.of(bytes).saturating_add(self.message)
    }

    /// The same, when it is built once and copied for so many.
    pub(crate) fn for_each(self, bytes: usize, consumers: usize) -> u64 {
        self.of(bytes).saturating_mul(consumers.saturating_sub(1) as u64 + COPY) / COPY
    }
}

/// What is left of what a call may cost.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    one_at_any_cost: bool,
    used: bool,
    dirty: bool,
}

impl Budget {
    /// For a call that must not last: what it cannot afford goes to a longer one.
    pub fn ordinary(left: u64) -> Self {
        Self { left, one_at_any_cost: false, used: false, dirty: false }
    }

    /// For a call that may: its first event is taken whatever it costs, or nothing would ever come of it.
    pub fn dirty(left: u64) -> Self {
        Self { left, one_at_any_cost: true, used: false, dirty: true }
    }

    /// Whether something of this cost may be done; then it is taken for done.
    pub fn affords(&mut self, cost: u64) -> bool {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        let affords = left.is_some() | std::mem::take(&mut self.one_at_any_cost);
        self.used |= affords;
        affords
    }

    /// Whether the call may last.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether anything was afforded.
    pub(crate) fn is_used(&self) -> bool {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Cost};

    const COST: Cost = Cost { event: 10, byte: 2, message: 5 };

    #[test]
    fn an_ordinary_call_affords_nothing_beyond_its_budget_and_a_dirty_one_its_first_event() {
        assert!(!Budget::ordinary(100).affords(101));
        let mut dirty = Budget::dirty(100);
        assert!(dirty.affords(101));
        assert!(!dirty.affords(1));
        let mut ordinary = Budget::ordinary(100);
        assert!(ordinary.affords(60) && ordinary.affords(40) && !ordinary.affords(1));
    }

    #[test]
    fn an_event_for_many_costs_more_than_one_for_one() {
        assert_eq!((COST.of(5), COST.alone(5)), (20, 25));
        assert_eq!((COST.for_each(5, 1), COST.for_each(5, 5)), (20, 40));
        assert_eq!(COST.for_each(usize::MAX, usize::MAX), u64::MAX / 4);
    }
}
