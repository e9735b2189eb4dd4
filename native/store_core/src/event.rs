//! An event that is to be appended.

use bytes::Bytes;

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub id: u128,
    /// Its type.
    pub kind: String,
    /// Whether its data is said to be JSON.
    pub json: bool,
    /// Its data.
    pub data: Bytes,
    /// What the client keeps with it.
    pub custom: Bytes,
}

impl NewEvent {
    /// An event of a metadata stream.
    pub(crate) fn metadata(id: u128, data: impl Into<Bytes>) -> Self {
        Self { id, kind: "$metadata".to_owned(), json: true, data: data.into(), custom: Bytes::new() }
    }
}
