//! What errors are called.

use super::Error;

/// The list of reasons, each with its name.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $reason:ident = $name:literal,)+) => {
        /// Why something could not be done, as `Penstock.Error` calls it: the one list of these names. Those of the
        /// embedded server and of the Elixir side are among them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])+ $reason,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// The user may not do this.
    AccessDenied = "access_denied",
    /// Another program listens on the port.
    AddressInUse = "address_in_use",
    /// The call was ended by the server.
    Cancelled = "cancelled",
    /// A certificate is not accepted.
    Certificate = "certificate",
    /// The data directory holds what no server wrote.
    CorruptedData = "corrupted_data",
    /// Another server has the data directory open.
    DataDirInUse = "data_dir_in_use",
    /// The data directory cannot be created, read or written.
    DataDirUnusable = "data_dir_unusable",
    /// No answer within the deadline.
    DeadlineExceeded = "deadline_exceeded",
    /// A fault of Penstock's own.
    Internal = "internal",
    /// An argument that can never be taken.
    InvalidArgument = "invalid_argument",
    /// The connection string cannot be read.
    InvalidConnectionString = "invalid_connection_string",
    /// An append is larger than the server takes.
    MaximumAppendSizeExceeded = "maximum_append_size_exceeded",
    /// A group has all the consumers that it may have.
    MaximumSubscribersReached = "maximum_subscribers_reached",
    /// A message is over the reader's limit.
    MessageTooLarge = "message_too_large",
    /// An event lacks its type or content type.
    MissingRequiredMetadata = "missing_required_metadata",
    /// The node is not its cluster's leader.
    NotLeader = "not_leader",
    /// There is no process of this name.
    NotStarted = "not_started",
    /// The server let go of a group's consumers.
    PersistentSubscriptionDropped = "persistent_subscription_dropped",
    /// There is such a group already.
    PersistentSubscriptionExists = "persistent_subscription_exists",
    /// The server refused to make, change or use a group.
    PersistentSubscriptionFailed = "persistent_subscription_failed",
    /// There is no such group.
    PersistentSubscriptionNotFound = "persistent_subscription_not_found",
    /// A subscription's stream ends before its position.
    PositionBeyondEnd = "position_beyond_end",
    /// The peer does not speak gRPC, or sent what cannot be decoded.
    Protocol = "protocol",
    /// Any other error of the server.
    Server = "server",
    /// The stream was deleted for good.
    StreamDeleted = "stream_deleted",
    /// The stream does not exist.
    StreamNotFound = "stream_not_found",
    /// The credentials are wrong.
    Unauthenticated = "unauthenticated",
    /// The server cannot be reached, or went away.
    Unavailable = "unavailable",
    /// The server does not know the method.
    Unimplemented = "unimplemented",
    /// Penstock does not do this yet.
    Unsupported = "unsupported",
    /// The stream is not what the append expected.
    WrongExpectedVersion = "wrong_expected_version",
}

impl Error {
    /// What it is called.
    pub fn kind(&self) -> Reason {
        match self {
            Self::StreamDeleted { .. } => Reason::StreamDeleted,
            Self::WrongExpectedVersion { .. } => Reason::WrongExpectedVersion,
            Self::MaximumAppendSizeExceeded { .. } => Reason::MaximumAppendSizeExceeded,
            Self::AccessDenied => Reason::AccessDenied,
            Self::Unauthenticated => Reason::Unauthenticated,
            Self::Certificate { .. } => Reason::Certificate,
            Self::NotLeader { .. } => Reason::NotLeader,
            Self::MissingRequiredMetadata { .. } => Reason::MissingRequiredMetadata,
            Self::PersistentSubscriptionExists { .. } => Reason::PersistentSubscriptionExists,
            Self::PersistentSubscriptionNotFound { .. } => Reason::PersistentSubscriptionNotFound,
            Self::PersistentSubscriptionFailed { .. } => Reason::PersistentSubscriptionFailed,
            Self::PersistentSubscriptionDropped { .. } => Reason::PersistentSubscriptionDropped,
            Self::MaximumSubscribersReached { .. } => Reason::MaximumSubscribersReached,
            Self::Unimplemented { .. } => Reason::Unimplemented,
            Self::InvalidArgument { .. } => Reason::InvalidArgument,
            Self::DeadlineExceeded { .. } => Reason::DeadlineExceeded,
            Self::Unavailable { .. } => Reason::Unavailable,
            Self::Cancelled { .. } => Reason::Cancelled,
            Self::Protocol { .. } | Self::NotHttp2 { .. } | Self::Undecodable { .. } => Reason::Protocol,
            Self::TooLarge { .. } => Reason::MessageTooLarge,
            Self::PositionBeyondEnd { .. } => Reason::PositionBeyondEnd,
            Self::Server { .. } => Reason::Server,
        }
    }

    /// The reason's name.
    pub fn reason(&self) -> &'static str {
        self.kind().name()
    }
}
