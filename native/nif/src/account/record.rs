//! What is kept of the calls of one name.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The calls of one name: how many there were, the longest, and how many took less than 1, 2, 4 ... microseconds.
///
/// Numbers are added without a lock, and may be read while one is still on its way to the others.
#[derive(Debug)]
pub struct Record {
    pub name: &'static str,
    pub dirty: bool,
    known: AtomicBool,
    pub count: AtomicU64,
    pub longest_ns: AtomicU64,
    pub histogram: [AtomicU64; BUCKETS],
}

/// The last one is for whatever took longer than a second or so.
pub const BUCKETS: usize = 22;

/// Those that had a call.
static KNOWN: Mutex<Vec<&'static Record>> = Mutex::new(Vec::new());

impl Record {
    /// For a `static`; [`call!`](super::call) makes one.
    pub const fn new(name: &'static str, dirty: bool) -> Self {
        Self {
            name,
            dirty,
            known: AtomicBool::new(false),
            count: AtomicU64::new(0),
            longest_ns: AtomicU64::new(0),
            histogram: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// Adds `count` calls, of which the longest took `longest_ns` and the others about as long.
    pub fn add(&'static self, count: u64, longest_ns: u64) {
        if !self.known.load(Relaxed) && !self.known.swap(true, Relaxed) {
            known().push(self);
        }
        self.count.fetch_add(count, Relaxed);
        if self.longest_ns.load(Relaxed) < longest_ns {
            self.longest_ns.fetch_max(longest_ns, Relaxed);
        }
        // below 1 us none, then one more for each power of two
        let bits = u64::BITS - (longest_ns / 1000).leading_zeros();
        let last = self.histogram.last();
        if let Some(bucket) = usize::try_from(bits).ok().and_then(|at| self.histogram.get(at)).or(last) {
            bucket.fetch_add(count, Relaxed);
        }
    }

    /// Begins anew.
    pub fn reset(&self) {
        for number in [&self.count, &self.longest_ns].into_iter().chain(&self.histogram) {
            number.store(0, Relaxed);
        }
    }
}

/// All that had a call since the library was loaded.
pub fn known() -> MutexGuard<'static, Vec<&'static Record>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
