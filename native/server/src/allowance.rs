//! How much memory requests that are not whole yet may take: those of one connection, and all together.
//!
//! A real EventStoreDB has no such limit and ends when its memory does. Beyond the limit a request is refused, and
//! what it held is free again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

/// For one connection: its 100 calls may each hold an append of the greatest size.
const CONNECTION: usize = 128 * MIB;
/// For all connections together.
const ALL: usize = 256 * MIB;

const MIB: usize = 1024 * 1024;

/// What the requests of one connection, or of all, may take.
///
/// What is kept and what still arrives do not count together: a batch for which there is no room must be known before
/// it can be refused by itself, and not with the whole call.
#[derive(Debug)]
pub struct Room {
    /// For a message that is not whole yet.
    pub arriving: Arc<Allowance>,
    /// For an append that is not whole yet.
    pub kept: Arc<Allowance>,
}

impl Room {
    /// Room for all connections.
    pub fn for_all() -> Self {
        Self { arriving: Allowance::new(ALL), kept: Allowance::new(ALL) }
    }

    /// Room for one connection, which is a part of the room for all.
    pub fn for_one(&self) -> Self {
        Self { arriving: self.arriving.part(CONNECTION), kept: self.kept.part(CONNECTION) }
    }
}

/// So many bytes, of which others may be a part.
#[derive(Debug)]
pub struct Allowance {
    limit: usize,
    taken: AtomicUsize,
    whole: Option<Arc<Allowance>>,
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the requests that are not whole yet take more than {} MiB {}", .limit / MIB, if *.all { "in all" } else { "on this connection" })]
pub struct Exhausted {
    limit: usize,
    all: bool,
}

impl Allowance {
    /// An allowance of its own.
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0), whole: None })
    }

    /// An allowance whose bytes count for this one as well.
    fn part(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0), whole: Some(self.clone()) })
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.limit);
        if self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            return Err(Exhausted { limit: self.limit, all: self.whole.is_none() });
        }
        let above = self.whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        if above.is_err() {
            self.taken.fetch_sub(bytes, Ordering::AcqRel);
        }
        above
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

/// What one holder took; it is given back when the holder is gone.
#[derive(Debug)]
pub struct Share {
    allowance: Arc<Allowance>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub fn new(allowance: &Arc<Allowance>) -> Self {
        Self { allowance: allowance.clone(), bytes: 0 }
    }

    /// Takes more.
    ///
    /// # Errors
    /// When there is no room for it; what was taken before is still held.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.allowance.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.allowance.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_and_all_of_them_are_bounded_and_what_is_given_back_can_be_taken_again() {
        let all = Allowance::new(3 * MIB);
        let (one, two) = (all.part(2 * MIB), all.part(2 * MIB));
        let (mut first, mut second) = (Share::new(&one), Share::new(&two));
        first.grow(2 * MIB).unwrap();
        let refused = first.grow(1).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the requests that are not whole yet take more than 2 MiB on this connection"
        );
        second.grow(MIB).unwrap();
        let refused = second.grow(1).unwrap_err();
        assert_eq!(refused.to_string(), "the requests that are not whole yet take more than 3 MiB in all");
        drop(first);
        second.grow(MIB).unwrap();
        second.clear();
        assert_eq!(all.taken.load(Ordering::Acquire), 0);
    }
}
