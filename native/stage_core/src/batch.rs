use std::collections::VecDeque;

/// Events in order, as many as were buffered together.
pub trait Batch {
    /// How many events it holds.
    fn count(&self) -> u64;

    /// Drops the first `n` events; asked only with `n <= count`.
    fn discard_front(&mut self, n: u64);

    /// Drops all events but the first `n`; asked only with `n <= count`.
    fn truncate(&mut self, n: u64);

    /// Whether it holds a number of events only, which its owner keeps.
    fn is_kept_elsewhere(&self) -> bool {
        false
    }
}

impl<T> Batch for VecDeque<T> {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn discard_front(&mut self, n: u64) {
        let n = index(n, self.len());
        self.drain(..n);
    }

    fn truncate(&mut self, n: u64) {
        let n = index(n, self.len());
        VecDeque::truncate(self, n);
    }
}

/// A batch that holds a number of events and not the events: its owner keeps them elsewhere, in this order.
impl Batch for u64 {
    fn count(&self) -> u64 {
        *self
    }

    fn discard_front(&mut self, n: u64) {
        *self = self.saturating_sub(n);
    }

    fn truncate(&mut self, n: u64) {
        *self = n.min(*self);
    }

    fn is_kept_elsewhere(&self) -> bool {
        true
    }
}

fn index(n: u64, len: usize) -> usize {
    usize::try_from(n).map_or(len, |n| n.min(len))
}
