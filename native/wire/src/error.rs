//! What a server's refusal means, read from the status, its trailers and, for failures on the way, its source.

use std::error::Error as StdError;
use std::fmt;

use tonic::{Code, Status};

use crate::proto::streams::append_resp::WrongExpectedVersion;
use crate::proto::streams::append_resp::wrong_expected_version::{
    CurrentRevisionOption, CurrentRevisionOption2060, ExpectedRevisionOption, ExpectedRevisionOption2060,
};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream is tombstoned.
    #[error("the stream {stream:?} was deleted for good")]
    StreamDeleted {
        /// Its name.
        stream: String,
    },
    /// The stream is not where the writer expected it to be.
    #[error("the stream {stream:?} was expected {expected}, but {}", Current(*current))]
    WrongExpectedVersion {
        /// The stream's name.
        stream: String,
        /// What the writer expected.
        expected: Expected,
        /// The revision of its last event; `None` when there is no such stream.
        current: Option<u64>,
    },
    /// The append is larger than the server takes.
    #[error("the append is too large: the server takes at most {} at once", Limit(*max))]
    MaximumAppendSizeExceeded {
        /// The limit in bytes, if the server told it.
        max: Option<u64>,
    },
    /// The user may not do this, or there was no user.
    #[error("access denied: the user of this connection, or nobody, may not do this")]
    AccessDenied,
    /// The user is not known or the password is wrong.
    #[error("the server does not accept these credentials")]
    Unauthenticated,
    /// Another node leads.
    #[error("this node does not lead the cluster, {host}:{port} does")]
    NotLeader {
        /// The leader's host.
        host: String,
        /// The leader's port.
        port: u16,
    },
    /// An event lacks its type or content type.
    #[error("an event lacks metadata that is required: {}", .properties.join(", "))]
    MissingRequiredMetadata {
        /// The names of what is required.
        properties: Vec<String>,
    },
    /// There is such a group already.
    #[error("the group {group:?} on {stream:?} exists already")]
    PersistentSubscriptionExists {
        /// The stream's name.
        stream: String,
        /// The group's name.
        group: String,
    },
    /// There is no such group.
    #[error("there is no group {group:?} on {stream:?}")]
    PersistentSubscriptionNotFound {
        /// The stream's name.
        stream: String,
        /// The group's name.
        group: String,
    },
    /// The server refused to make, change or use a group.
    #[error("the group {group:?} on {stream:?} failed: {cause}")]
    PersistentSubscriptionFailed {
        /// The stream's name.
        stream: String,
        /// The group's name.
        group: String,
        /// The server's words.
        cause: String,
    },
    /// The server let go of a group's consumers: it was changed, deleted or moved.
    #[error("the server dropped the consumers of the group {group:?} on {stream:?}")]
    PersistentSubscriptionDropped {
        /// The stream's name.
        stream: String,
        /// The group's name.
        group: String,
    },
    /// The group has as many consumers as it may have.
    #[error("the group {group:?} on {stream:?} has all the consumers that it may have")]
    MaximumSubscribersReached {
        /// The stream's name.
        stream: String,
        /// The group's name.
        group: String,
    },
    /// The server does not know this call.
    #[error("the server does not have this call: {message}")]
    Unimplemented {
        /// The server's words.
        message: String,
    },
    /// The server does not take what was sent.
    #[error("the server refuses the request: {message}")]
    InvalidArgument {
        /// The server's words.
        message: String,
    },
    /// The answer did not come in time.
    #[error("no answer came before the deadline: {message}")]
    DeadlineExceeded {
        /// Who says so.
        message: String,
    },
    /// The server cannot be reached, went away, or is not ready.
    #[error("the server is not available: {message}")]
    Unavailable {
        /// What happened.
        message: String,
    },
    /// The call was cancelled.
    #[error("the call was cancelled: {message}")]
    Cancelled {
        /// The server's words.
        message: String,
    },
    /// The peer does not speak gRPC.
    #[error("the peer does not speak gRPC over HTTP/2: {message}")]
    Protocol {
        /// What it said instead.
        message: String,
    },
    /// Any other failure.
    #[error("the server failed ({}): {message}", Name(*code))]
    Server {
        /// gRPC's code.
        code: Code,
        /// The server's words.
        message: String,
    },
}

/// Where a writer expects a stream to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anywhere.
    Any,
    /// Not there.
    NoStream,
    /// There.
    StreamExists,
    /// With this as the revision of its last event.
    Revision(u64),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("to be as the server last knew it"),
            Self::NoStream => f.write_str("not to exist"),
            Self::StreamExists => f.write_str("to exist"),
            Self::Revision(revision) => write!(f, "at revision {revision}"),
        }
    }
}

impl Error {
    /// Whether the same call may succeed later, or elsewhere, without a change.
    pub fn retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::PersistentSubscriptionDropped { .. }
            | Self::DeadlineExceeded { .. }
            | Self::Unavailable { .. }
            | Self::Cancelled { .. } => true,
            Self::Server { code, .. } => matches!(code, Code::Aborted | Code::ResourceExhausted),
            _ => false,
        }
    }

    /// The reason's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::StreamDeleted { .. } => "stream_deleted",
            Self::WrongExpectedVersion { .. } => "wrong_expected_version",
            Self::MaximumAppendSizeExceeded { .. } => "maximum_append_size_exceeded",
            Self::AccessDenied => "access_denied",
            Self::Unauthenticated => "unauthenticated",
            Self::NotLeader { .. } => "not_leader",
            Self::MissingRequiredMetadata { .. } => "missing_required_metadata",
            Self::PersistentSubscriptionExists { .. } => "persistent_subscription_exists",
            Self::PersistentSubscriptionNotFound { .. } => "persistent_subscription_not_found",
            Self::PersistentSubscriptionFailed { .. } => "persistent_subscription_failed",
            Self::PersistentSubscriptionDropped { .. } => "persistent_subscription_dropped",
            Self::MaximumSubscribersReached { .. } => "maximum_subscribers_reached",
            Self::Unimplemented { .. } => "unimplemented",
            Self::InvalidArgument { .. } => "invalid_argument",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Unavailable { .. } => "unavailable",
            Self::Cancelled { .. } => "cancelled",
            Self::Protocol { .. } => "protocol",
            Self::Server { .. } => "server",
        }
    }

    /// An append's answer that is a refusal, though its status is OK.
    pub fn from_append(stream: String, answer: &WrongExpectedVersion) -> Self {
        let current = match (&answer.current_revision_option, &answer.current_revision_option_20_6_0) {
            (Some(CurrentRevisionOption::CurrentRevision(revision)), _) => Some(*revision),
            (Some(CurrentRevisionOption::CurrentNoStream(_)), _) => None,
            (None, Some(CurrentRevisionOption2060::CurrentRevision2060(revision))) => Some(*revision),
            (None, _) => None,
        };
        let expected = match (&answer.expected_revision_option, &answer.expected_revision_option_20_6_0) {
            (Some(ExpectedRevisionOption::ExpectedRevision(revision)), _) => Expected::Revision(*revision),
            (Some(ExpectedRevisionOption::ExpectedStreamExists(_)), _) => Expected::StreamExists,
            (Some(ExpectedRevisionOption::ExpectedNoStream(_)), _) => Expected::NoStream,
            (Some(ExpectedRevisionOption::ExpectedAny(_)), _) => Expected::Any,
            (None, Some(ExpectedRevisionOption2060::ExpectedRevision2060(u64::MAX))) => Expected::NoStream,
            (None, Some(ExpectedRevisionOption2060::ExpectedRevision2060(revision))) => {
                Expected::Revision(*revision)
            }
            (None, Some(ExpectedRevisionOption2060::StreamExists2060(_))) => Expected::StreamExists,
            (None, _) => Expected::Any,
        };
        Self::WrongExpectedVersion { stream, expected, current }
    }
}

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

/// Failures that no server put into words: the transport made the status. tonic has no type to tell them by, so
/// its texts decide.
fn on_the_way(status: &Status) -> Option<Error> {
    let text = status.message();
    let cause = root_cause(status);
    let message = match &cause {
        Some(cause) if !text.contains(cause.as_str()) => format!("{text}: {cause}"),
        _ => text.to_owned(),
    };
    let names_http = text.starts_with("grpc-status header missing");
    if text == "Timeout expired" {
        Some(Error::DeadlineExceeded { message })
    } else if names_http && matches!(status.code(), Code::Unavailable) {
        Some(Error::Unavailable { message })
    } else if names_http && text.ends_with(" 200") || text.starts_with("Unexpected EOF") {
        // The peer went away in the middle of a call that went well so far.
        Some(Error::Unavailable { message })
    } else if names_http || text.starts_with("protocol error:") || detected(status) {
        Some(Error::Protocol { message })
    } else if cause.is_some() && status.code() != Code::ResourceExhausted && !reset(status) {
        Some(Error::Unavailable { message })
    } else {
        None
    }
}

/// HTTP/2 says "detected" of what the peer did against the protocol.
fn detected(status: &Status) -> bool {
    sources(status).any(|source| source.contains("error detected:"))
}

/// The peer ended this call alone; the connection is as it was.
fn reset(status: &Status) -> bool {
    status.code() == Code::Cancelled && sources(status).any(|source| source.contains("stream error"))
}

fn root_cause(status: &Status) -> Option<String> {
    sources(status).last()
}

fn sources(status: &Status) -> impl Iterator<Item = String> {
    std::iter::successors(status.source(), |error| StdError::source(*error)).map(ToString::to_string)
}

fn trailer(status: &Status, name: &str) -> Option<String> {
    status.metadata().get(name).map(|value| String::from_utf8_lossy(value.as_encoded_bytes()).into_owned())
}

fn number(status: &Status, name: &str) -> Option<i64> {
    trailer(status, name)?.parse().ok()
}

struct Current(Option<u64>);

impl fmt::Display for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "its last revision is {revision}"),
            None => f.write_str("there is no such stream"),
        }
    }
}

struct Limit(Option<u64>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes} bytes"),
            None => f.write_str("less than this"),
        }
    }
}

struct Name(Code);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
