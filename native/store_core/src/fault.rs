//! Why a request was refused.

use thiserror::Error;

use crate::storage::StorageError;

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
    /// Whoever asked had given it a time, which was over before it was decided.
    #[error("the request came too late")]
    Late,
    /// Whoever is asked takes no requests now.
    #[error("the server is not ready")]
    NotReady,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
