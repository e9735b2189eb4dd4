//! From a status to its meaning.

use std::error::Error as StdError;

use h2::Reason;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use super::{Error, Expected, Fault};

impl From<&Status> for Error {
    fn from(status: &Status) -> Self {
        named(status).unwrap_or_else(|| by_code(status))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

/// The errors that EventStoreDB names in its trailers.
fn named(status: &Status) -> Option<Error> {
    let stream = || trailer(status, "stream-name").unwrap_or_default();
    let group = || trailer(status, "group-name").unwrap_or_default();
    let error = match trailer(status, "exception")?.as_str() {
        "stream-deleted" => Error::StreamDeleted { stream: stream() },
        "wrong-expected-version" => Error::WrongExpectedVersion {
            stream: stream(),
            expected: match number(status, "expected-version") {
                Some(-1) => Expected::NoStream,
                Some(-4) => Expected::StreamExists,
                Some(revision) if revision >= 0 => Expected::Revision(revision.unsigned_abs()),
                _ => Expected::Any,
            },
            current: number(status, "actual-version").and_then(|revision| u64::try_from(revision).ok()),
        },
        "maximum-append-size-exceeded" => Error::MaximumAppendSizeExceeded {
            max: number(status, "maximum-append-size").and_then(|bytes| u64::try_from(bytes).ok()),
        },
        "access-denied" => Error::AccessDenied,
        "not-leader" => Error::NotLeader {
            host: trailer(status, "leader-endpoint-host")?,
            port: trailer(status, "leader-endpoint-port")?.parse().ok()?,
        },
        "missing-required-metadata-property" => Error::MissingRequiredMetadata {
            properties: trailer(status, "required-metadata-properties")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
        },
        "persistent-subscription-exists" => {
            Error::PersistentSubscriptionExists { stream: stream(), group: group() }
        }
        "persistent-subscription-does-not-exist" => {
            Error::PersistentSubscriptionNotFound { stream: stream(), group: group() }
        }
        "persistent-subscription-failed" => Error::PersistentSubscriptionFailed {
            stream: stream(),
            group: group(),
            cause: trailer(status, "reason").unwrap_or_else(|| status.message().to_owned()),
        },
        "persistent-subscription-dropped" => {
            Error::PersistentSubscriptionDropped { stream: stream(), group: group() }
        }
        "maximum-subscribers-reached" => {
            Error::MaximumSubscribersReached { stream: stream(), group: group() }
        }
        _ => return None,
    };
    Some(error)
}

fn by_code(status: &Status) -> Error {
    if let Some(error) = on_the_way(status) {
        return error;
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated => Error::Unauthenticated,
        Code::PermissionDenied => Error::AccessDenied,
        Code::Unimplemented => Error::Unimplemented { message },
        Code::InvalidArgument => Error::InvalidArgument { message },
        Code::DeadlineExceeded => Error::DeadlineExceeded { message },
        Code::Unavailable => Error::Unavailable { message },
        Code::Cancelled => Error::Cancelled { message },
        code => Error::Server { code, message },
    }
}

/// Failures that no server put into words: our own judgement of what came, or the transport's.
fn on_the_way(status: &Status) -> Option<Error> {
    if let Some(fault) = source::<Fault>(status) {
        return Some(fault.into());
    }
    let text = status.message();
    let message = match root_cause(status) {
        Some(cause) if !text.contains(cause.as_str()) => format!("{text}: {cause}"),
        _ => text.to_owned(),
    };
    if source::<TimeoutExpired>(status).is_some() || text == "Timeout expired" {
        Some(Error::DeadlineExceeded { message })
    } else if source::<hyper::Error>(status).is_some_and(hyper::Error::is_timeout) {
        Some(Error::Unavailable { message: Error::NO_PONG.into() })
    } else if source::<h2::Error>(status).is_some_and(h2::Error::is_library) {
        // what came broke the rules of HTTP/2: somebody between here and the server had a hand in it
        Some(Error::Unavailable { message: format!("it broke the rules of HTTP/2: {message}") })
    } else if status.source().is_some() && status.code() != Code::ResourceExhausted && !cancelled(status) {
        Some(Error::Unavailable { message })
    } else {
        None
    }
}

/// The peer ended this call alone; the connection is as it was.
fn cancelled(status: &Status) -> bool {
    source::<h2::Error>(status)
        .is_some_and(|error| error.is_reset() && error.reason() == Some(Reason::CANCEL))
}

/// Whether the request of a call that failed in this way may have reached a server.
pub fn was_sent(status: &Status) -> bool {
    source::<ConnectError>(status).is_none()
}

fn source<T: StdError + 'static>(status: &Status) -> Option<&T> {
    sources(status).find_map(|error| error.downcast_ref())
}

fn root_cause(status: &Status) -> Option<String> {
    sources(status).last().map(ToString::to_string)
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |error| StdError::source(*error))
}

fn trailer(status: &Status, name: &str) -> Option<String> {
    status.metadata().get(name).map(|value| String::from_utf8_lossy(value.as_encoded_bytes()).into_owned())
}

fn number(status: &Status, name: &str) -> Option<i64> {
    trailer(status, name)?.parse().ok()
}
