//! What the store asks of whatever keeps its records.

use thiserror::Error;

use crate::page::{Direction, PageSize};
use crate::record::{Record, RecordView, StreamNumber};
use crate::write::{StreamRow, Write};

/// Storage that failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StorageError {
    /// What is to be read would have to be waited for, and the reader said that it does not wait.
    #[error("what is to be read is not in memory")]
    NotNow(Awaited),
    /// There is no space left to write to.
    #[error("{0}")]
    Full(String),
    /// Anything else; the text names the thing and what can be done.
    #[error("{0}")]
    Failed(String),
}

/// What a reader would have had to wait for: `bytes` from `offset` on of a file that the storage has a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The number of the file.
    pub file: u64,
    /// Where in it.
    pub offset: u64,
    /// How much of it.
    pub bytes: usize,
}

/// What is done with each event that is shown.
pub type Show<'a> = &'a mut dyn FnMut(RecordView<'_>) -> Result<(), StorageError>;

/// Keeps records. A tombstone is in the log only; every other event is also at its revision in its stream.
pub trait Storage: Send + Sync {
    /// Makes a change readable. Storage that outlives the process has written it before.
    fn keep(&mut self, change: Write);

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

    /// Shows events of a stream, from and with a revision on, until a page is full.
    ///
    /// # Errors
    /// When what is kept cannot be read, and what `show` returns.
    fn show_stream(
        &self,
        stream: StreamNumber,
        from: u64,
        direction: Direction,
        size: PageSize,
        show: Show<'_>,
    ) -> Result<(), StorageError>;

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
