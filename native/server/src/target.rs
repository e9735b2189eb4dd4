//! What a request names: a stream, and how it is expected to be.

use store_core::Expected;
use tonic::Status;

use crate::fault;

/// A stream's name as the store knows it: bytes that are not UTF-8 are replaced.
///
/// # Errors
/// No name, or an empty one, is what the server cannot make sense of.
pub fn stream_name(identifier: Option<&wire::proto::StreamIdentifier>) -> Result<String, Status> {
    match identifier {
        Some(identifier) if !identifier.stream_name.is_empty() => {
            Ok(String::from_utf8_lossy(&identifier.stream_name).into_owned())
        }
        _ => Err(fault::handler()),
    }
}

/// The greatest number stands for "no stream"; others that no revision can have are none.
pub fn expected_revision(revision: u64) -> Option<Expected> {
    match revision {
        u64::MAX => Some(Expected::NoStream),
        revision if revision <= store_core::LAST_REVISION => Some(Expected::Revision(revision)),
        _ => None,
    }
}
