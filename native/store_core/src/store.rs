//! The streams and the log over a storage.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::draft::Draft;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::read::{Direction, PageSize};
use crate::storage::{Storage, StorageError, StreamNumber, StreamRow, Write};

/// What a writer expects of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// That it has no events.
    NoStream,
    /// That it has events.
    StreamExists,
    /// That its last event has this revision.
    Revision(u64),
}

/// Why an operation was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// The named stream is tombstoned (or deleted, where that matters).
    #[error("Event stream '{0}' is deleted.")]
    StreamDeleted(String),
    /// The position is not that of an event.
    #[error("there is no event at the position")]
    InvalidPosition,
    /// The position is ahead of the log.
    #[error("the position is ahead of the log")]
    AheadOfLog,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub number: StreamNumber,
    pub last: Option<u64>,
    pub tombstoned: bool,
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
        for StreamRow { name, number, last, tombstoned } in rows {
            if let (Some(described), Some(last), false) = (name.strip_prefix("$$"), last, tombstoned)
                && let Some(record) = store.storage.event(number, last)?
            {
                store.limits.insert(described.into(), Limits::of(&record));
            }
            store.streams.insert(name, Stream { number, last, tombstoned });
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

    /// Decides and makes it readable at once. Only for storage that keeps nothing beyond the process: anything else
    /// has to write what a [`Draft`] decided before it is applied.
    ///
    /// # Errors
    /// What `decide` returns; nothing is changed then.
    pub fn write<T>(&mut self, decide: impl FnOnce(&mut Draft<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut draft = Draft::new(self);
        let answer = decide(&mut draft)?;
        if let Some(change) = draft.take() {
            self.apply(change);
        }
        Ok(answer)
    }

    /// Makes a change readable that was decided by a [`Draft`] of this store. Changes are applied in their order.
    pub fn apply(&mut self, change: Write) {
        for StreamRow { name, number, last, tombstoned } in &change.streams {
            if let Some(described) = name.strip_prefix("$$") {
                let newest = change.records.iter().rev().find(|record| record.stream == *number);
                match newest.filter(|_| !tombstoned) {
                    Some(record) => self.limits.insert(described.into(), Limits::of(record)),
                    None => self.limits.remove(described),
                };
            }
            let stream = Stream { number: *number, last: *last, tombstoned: *tombstoned };
            match self.streams.get_mut(name) {
                Some(known) => *known = stream,
                None => {
                    self.streams.insert(name.clone(), stream);
                }
            }
        }
        self.head = change.head;
        self.storage.keep(change);
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
