//! What the store asks of whatever keeps its records.

use thiserror::Error;

use crate::read::{Direction, PageSize};
use crate::record::Record;

/// The number under which a stream's events are kept.
pub type StreamNumber = u32;

/// Storage that failed; the text names the thing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct StorageError(pub String);

/// What is kept of a stream besides its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: StreamNumber,
    /// The revision of its last event, unless it has none.
    pub last: Option<u64>,
    /// Whether it is gone for ever.
    pub tombstoned: bool,
}

/// One change, made wholly or not at all.
#[derive(Debug, Default)]
pub struct Write {
    /// The events, in the order of the log.
    pub records: Vec<Record>,
    /// The streams that the events belong to, as they are afterwards.
    pub streams: Vec<StreamRow>,
    /// The position after the last event.
    pub head: u64,
}

/// Keeps records. A tombstone is in the log only; every other event is also at its revision in its stream.
pub trait Storage: Send + Sync {
    /// Makes a change; what it returns after is kept.
    ///
    /// # Errors
    /// When nothing was written.
    fn write(&mut self, change: Write) -> Result<(), StorageError>;

    /// Every stream, and the position after the last event.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn streams(&self) -> Result<(Vec<StreamRow>, u64), StorageError>;

    /// The event of a stream at a revision.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn event(&self, stream: StreamNumber, revision: u64) -> Result<Option<Record>, StorageError>;

    /// Events of a stream, from and with a revision on.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn stream_page(
        &self,
        stream: StreamNumber,
        from: u64,
        direction: Direction,
        size: PageSize,
    ) -> Result<Vec<Record>, StorageError>;

    /// Events of the log: forwards from and with a position on, backwards from before it.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn log_page(&self, from: u64, direction: Direction, size: PageSize) -> Result<Vec<Record>, StorageError>;

    /// The revision at which a stream first had an event of this id.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn revision_of(&self, stream: StreamNumber, id: u128) -> Result<Option<u64>, StorageError>;
}
