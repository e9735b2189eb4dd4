//! Errors as clients parse them: status, text, and the trailers that name the exception and its parts.

use store_core::{Fault, MAX_APPEND};
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::allowance::Exhausted;
use crate::panics::Panicked;

/// What every call that the server cannot make sense of is answered.
pub fn handler() -> Status {
    Status::unknown("Exception was thrown by handler.")
}

/// A status with an `exception` and its fields as trailers.
pub fn exception(
    code: Code,
    text: String,
    exception: &'static str,
    fields: &[(&'static str, &str)],
) -> Status {
    let mut trailers = MetadataMap::with_capacity(fields.len() + 1);
    trailers.insert("exception", MetadataValue::from_static(exception));
    for (key, value) in fields {
        let key = MetadataKey::<Ascii>::from_static(key);
        // A header cannot hold every stream name; what it cannot hold is left out.
        if let Ok(value) = MetadataValue::try_from(*value) {
            trailers.insert(key, value);
        }
    }
    Status::with_metadata(code, text, trailers)
}

/// The stream is tombstoned.
pub fn stream_deleted(name: &str) -> Status {
    let text = format!("Event stream '{name}' is deleted.");
    exception(Code::FailedPrecondition, text, "stream-deleted", &[("stream-name", name)])
}

/// More bytes than one append may have.
pub fn append_too_large() -> Status {
    let text = format!("Maximum Append Size of {MAX_APPEND} Exceeded.");
    let limit = MAX_APPEND.to_string();
    exception(Code::InvalidArgument, text, "maximum-append-size-exceeded", &[("maximum-append-size", &limit)])
}

/// An event lacks what every event needs.
pub fn missing_metadata(property: &str) -> Status {
    exception(
        Code::InvalidArgument,
        format!("Required Metadata Property '{property}' is missing"),
        "missing-required-metadata-property",
        &[("required-metadata-properties", "type,content-type")],
    )
}

/// Whoever calls may not do that.
pub fn access_denied() -> Status {
    exception(Code::PermissionDenied, "Access Denied".to_owned(), "access-denied", &[])
}

/// Only the leader does that, and it is there.
pub fn not_leader(host: &str, port: u16) -> Status {
    let fields = [("leader-endpoint-host", host), ("leader-endpoint-port", &*port.to_string())];
    exception(Code::NotFound, "Leader info available".to_owned(), "not-leader", &fields)
}

/// Nobody can do that now.
pub fn not_ready() -> Status {
    Status::unavailable("Server Is Not Ready")
}

/// A subscription that is ended on purpose.
pub fn dropped() -> Status {
    Status::unavailable("the subscription was dropped on purpose")
}

/// There is no room for more of a request.
pub fn exhausted(exhausted: Exhausted) -> Status {
    Status::resource_exhausted(format!("This request is refused: {exhausted}."))
}

/// The time is over that the caller gave.
pub fn late() -> Status {
    Status::deadline_exceeded("Deadline Exceeded")
}

/// The server ends before the call does.
pub fn stopping() -> Status {
    Status::unavailable("the server is shutting down")
}

/// A call that ended in a panic: a fault of the server, which goes on.
pub fn panicked(panicked: &Panicked) -> Status {
    tracing::error!(%panicked, "a call failed");
    Status::internal(format!("The server failed: {panicked}"))
}

/// The store refused, or failed.
pub fn of(fault: Fault) -> Status {
    match fault {
        Fault::StreamDeleted(name) => stream_deleted(&name),
        Fault::InvalidPosition => Status::unknown("Unexpected ReadAllResult: InvalidPosition"),
        Fault::AheadOfLog => Status::unknown("Unexpected ReadAllResult: Error"),
        Fault::Late => late(),
        Fault::NotReady => not_ready(),
        Fault::Storage(error) => Status::internal(error.to_string()),
    }
}
