//! The streams and the log over a storage.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::page::{Direction, PageSize};
use crate::record::StreamNumber;
use crate::storage::Storage;
use crate::write::{StreamRow, Write};

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub number: StreamNumber,
    pub last: Option<u64>,
    pub tombstoned: bool,
}

impl Stream {
    pub(crate) fn of(row: &StreamRow) -> Self {
        Self { number: row.number, last: row.last, tombstoned: row.tombstoned }
    }
}

/// An event store, as readers see it: any number may read at once.
pub struct Store {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) streams: HashMap<Arc<str>, Stream>,
    pub(crate) limits: HashMap<Box<str>, Limits>,
    pub(crate) head: u64,
    seed: u128,
}

/// What is common to every position; it keeps the first one away from 0, which clients take for the start.
pub const FIRST_POSITION: u64 = 64;
/// What an event takes of the log besides its bytes.
pub(crate) const OVERHEAD: u64 = 64;

impl Store {
    /// A store that forgets everything when it goes.
    #[must_use]
    pub fn in_memory(seed: u128) -> Self {
        Self::over(Box::new(Memory::default()), FIRST_POSITION, seed)
    }

    fn over(storage: Box<dyn Storage>, head: u64, seed: u128) -> Self {
        Self { storage, streams: HashMap::new(), limits: HashMap::new(), head, seed }
    }

    /// Opens what is kept. Ids of events that the store itself writes are derived from `seed`.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn open(storage: Box<dyn Storage>, seed: u128) -> Result<Self, Fault> {
        let (rows, head) = storage.streams()?;
        let mut store = Self::over(storage, head.max(FIRST_POSITION), seed);
        for row in rows {
            if let (Some(described), Some(last), false) =
                (row.name.strip_prefix("$$"), row.last, row.tombstoned)
                && let Some(record) = store.storage.event(row.number, last)?
            {
                store.limits.insert(described.into(), Limits::of(&record));
            }
            let stream = Stream::of(&row);
            store.streams.insert(row.name, stream);
        }
        Ok(store)
    }

    /// The position after the last event.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.streams.is_empty()
    }

    /// The position of the last event.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn last_position(&self) -> Result<Option<u64>, Fault> {
        let last = self.storage.log_page(u64::MAX, Direction::Backwards, PageSize::events(1))?;
        Ok(last.first().map(|record| record.position))
    }

    /// Whether a stream may be read, now or when it has events.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] when it is tombstoned.
    pub fn check_stream(&self, name: &str) -> Result<(), Fault> {
        self.readable(name).map(|_| ())
    }

    /// The revision after the last event of a stream.
    #[must_use]
    pub fn next_revision(&self, name: &str) -> u64 {
        self.streams.get(name).and_then(|stream| stream.last).map_or(0, |last| last + 1)
    }

    pub(crate) fn limits_of(&self, name: &str) -> Limits {
        if name.starts_with("$$") {
            return Limits::of_metadata();
        }
        self.limits.get(name).copied().unwrap_or_default()
    }

    /// The stream of a name, unless it never had an event. A metadata stream goes with its stream.
    pub(crate) fn readable(&self, name: &str) -> Result<Option<&Stream>, Fault> {
        let gone = |name: &str| self.streams.get(name).is_some_and(|stream| stream.tombstoned);
        if gone(name) || name.strip_prefix("$$").is_some_and(gone) {
            return Err(Fault::StreamDeleted(name.to_owned()));
        }
        Ok(self.streams.get(name).filter(|stream| stream.last.is_some()))
    }

    /// Makes a change readable that was decided by a [`Draft`](crate::Draft) of this store, and is kept. Changes are
    /// applied in the order in which they were decided; nothing else changes the store.
    pub fn apply(&mut self, change: Write) {
        for (described, limits) in change.limits() {
            match limits {
                Some(limits) => self.limits.insert(described.into(), limits),
                None => self.limits.remove(described),
            };
        }
        for row in &change.streams {
            let stream = Stream::of(row);
            match self.streams.get_mut(&row.name) {
                Some(known) => *known = stream,
                None => {
                    self.streams.insert(row.name.clone(), stream);
                }
            }
        }
        self.head = change.head;
        self.storage.keep(change);
    }

    /// All that was written from a position on, as one change: for another store that has what was written before.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn since(&self, position: u64) -> Result<Write, Fault> {
        let all = PageSize::events(usize::MAX);
        let records = self.storage.log_page(position, Direction::Forwards, all)?;
        let mut write = Write { head: self.head, ..Write::default() };
        for record in &records {
            if let Some(stream) = self.streams.get(&record.name) {
                let Stream { number, last, tombstoned } = stream.clone();
                write.put_row(StreamRow { name: record.name.clone(), number, last, tombstoned });
            }
        }
        write.records = records;
        Ok(write)
    }

    /// An id for an event of the store's own: a version 4 UUID that depends on the seed and the log's length.
    pub(crate) fn new_id(&self, head: u64) -> u128 {
        let mut mixed = self.seed ^ u128::from(head);
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        mixed ^= mixed >> 67;
        mixed = mixed.wrapping_mul(0xda94_2042_e4dd_58b5_2d35_8dcc_aa6c_78a5);
        mixed ^= mixed >> 61;
        mixed & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    }
}
