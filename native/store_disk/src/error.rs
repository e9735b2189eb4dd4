//! Why a folder is not opened.

use std::io;

use thiserror::Error;

/// Why a folder is not opened. Nothing in it was changed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has it open.
    #[error("it is in use by another server")]
    InUse,
    /// The file system refuses; the text says what and why.
    #[error("{0}")]
    Unusable(String),
    /// It holds something else, or is damaged; the text names the file, the place and what can be done.
    #[error("{0}")]
    Damaged(String),
}

/// What the system said of a file.
pub fn unusable(file: &str, error: &io::Error) -> OpenError {
    OpenError::Unusable(describe(file, error))
}

/// A failure in words; a full disk has its own.
pub fn describe(file: &str, error: &io::Error) -> String {
    match is_full(error) {
        true => format!("disk full: {file} cannot be written ({error})"),
        false => format!("{file}: {error}"),
    }
}

/// Whether there was no space left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Damage of a file, and what can be done about it.
pub fn damaged(file: &str, what: impl std::fmt::Display) -> OpenError {
    OpenError::Damaged(format!(
        "{file}: {what}. Nothing was changed; put the folder's files back from a copy of them, or begin with an empty folder"
    ))
}
