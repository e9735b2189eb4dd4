//! What a call's failure means.
//!
//! - `status`: read from the status, its trailers and, for failures on the way, its source
//! - `fault`: what went wrong on the way, where no server put it into words
//! - `policy`: what is tried again and what is final: the one table of it
//! - `reason`: what errors are called: the one list of it

mod fault;
mod policy;
mod reason;
mod status;

use std::fmt;

use tonic::Code;

pub use fault::Fault;
pub use policy::Policy;
pub use reason::Reason;
pub use status::was_sent;

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
    /// The peer does not even speak HTTP/2.
    #[error("the peer does not speak gRPC over HTTP/2: {message}")]
    NotHttp2 {
        /// What it said instead.
        message: String,
    },
    /// The server's certificate is not accepted, or it does not accept the client's.
    #[error("the connection cannot be trusted: {message}")]
    Certificate {
        /// What is wrong with it.
        message: String,
    },
    /// The server speaks gRPC, and sent what is no message of its protocol.
    #[error("{what} cannot be decoded: {message}")]
    Undecodable {
        /// Which message.
        what: Which,
        /// What is wrong with it.
        message: String,
    },
    /// A message is larger than the reader takes.
    #[error("{what} has {size} bytes; the limit, max_message_size, is {limit} bytes")]
    TooLarge {
        /// Which message.
        what: Which,
        /// Its size in bytes.
        size: u64,
        /// The reader's limit in bytes.
        limit: u64,
    },
    /// The stream ends before the position that a subscription goes on from.
    #[error("the stream {stream:?} {}, which is before position {}", Ends(*last), Bare(*position))]
    PositionBeyondEnd {
        /// Its name.
        stream: String,
        /// Where the subscription goes on after.
        position: At,
        /// Where the last event is; `None` when there is no such stream.
        last: Option<At>,
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

/// Which of the messages of a read it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The event of this revision.
    Event(u64),
    /// The one after the event of this revision.
    After(u64),
    /// The one after the event at this position of the log.
    AfterLog {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// The one after the event of this revision, in a read backwards.
    Before(u64),
    /// The one after the event at this position of the log, in a read backwards.
    BeforeLog {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// The first one.
    First,
    /// The answer of a call that is no read.
    Answer,
}

impl Which {
    /// The message after these events: `None` is no event.
    pub fn after(revision: Option<u64>) -> Self {
        revision.map_or(Self::First, Self::After)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(revision) => write!(f, "the event of revision {revision}"),
            Self::After(revision) => write!(f, "the message after revision {revision}"),
            Self::AfterLog { commit, prepare } => {
                write!(f, "the message after position C:{commit}/P:{prepare}")
            }
            Self::Before(revision) => write!(f, "the message before revision {revision}"),
            Self::BeforeLog { commit, prepare } => {
                write!(f, "the message before position C:{commit}/P:{prepare}")
            }
            Self::First => f.write_str("the first message"),
            Self::Answer => f.write_str("the answer"),
        }
    }
}

/// A place in a stream, or in the log of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A revision.
    Revision(u64),
    /// A position in the log.
    Log {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
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
    /// What is said of a connection whose peer does not answer HTTP/2's pings.
    pub const NO_PONG: &'static str = "no answer to a ping";

    /// Whether the same call may succeed later, or elsewhere, without a change.
    pub fn retryable(&self) -> bool {
        Policy::of(self).call
    }

    /// The same error, saying which message of a read it was.
    #[must_use]
    pub fn at(self, which: Which) -> Self {
        match self {
            Self::TooLarge { size, limit, .. } => Self::TooLarge { what: which, size, limit },
            Self::Undecodable { message, .. } => Self::Undecodable { what: which, message },
            error => error,
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

struct Current(Option<u64>);

impl fmt::Display for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "its last revision is {revision}"),
            None => f.write_str("there is no such stream"),
        }
    }
}

struct Ends(Option<At>);

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at @ At::Revision(_)) => write!(f, "ends at revision {}", Bare(at)),
            Some(at @ At::Log { .. }) => write!(f, "ends at position {}", Bare(at)),
            None => f.write_str("does not exist"),
        }
    }
}

struct Bare(At);

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            At::Revision(revision) => write!(f, "{revision}"),
            At::Log { commit, prepare } => write!(f, "C:{commit}/P:{prepare}"),
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
