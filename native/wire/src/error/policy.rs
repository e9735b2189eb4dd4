//! What is tried again, and what is final.

use tonic::Code;

use super::Error;

/// What may follow an error.
///
/// The answers of the road (a server that cannot be reached, a connection that breaks, a proxy's page) may be others a
/// moment later; the server's own judgement of a request will not. The module documentation of
/// `Penstock.LinearSubscription` shows this table to its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether the same call may succeed later, without a change.
    pub call: bool,
    /// Whether a subscription asks again. It outlives more than a call does: a fault of the server, however it is
    /// called, may have passed later.
    pub subscription: bool,
    /// Whether the events of an append that ended so may have been written all the same.
    pub may_be_written: bool,
}

const AGAIN: Policy = Policy { call: true, subscription: true, may_be_written: true };
const REFUSED: Policy = Policy { call: false, subscription: false, may_be_written: false };

impl Policy {
    /// The table.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Unavailable { .. } | Error::DeadlineExceeded { .. } | Error::Cancelled { .. } => AGAIN,
            Error::NotLeader { .. } | Error::PersistentSubscriptionDropped { .. } => {
                Self { may_be_written: false, ..AGAIN }
            }
            Error::Server { code, .. } => Self::of_server(*code),
            // whoever answered so was in the server's place, perhaps for a moment; a call's caller learns what it met
            Error::NotHttp2 { .. } => Self { call: false, ..AGAIN },
            // what was asked may have been done before the answer became unreadable
            Error::Protocol { .. } | Error::Undecodable { .. } | Error::TooLarge { .. } => {
                Self { may_be_written: true, ..REFUSED }
            }
            Error::StreamDeleted { .. }
            | Error::WrongExpectedVersion { .. }
            | Error::MaximumAppendSizeExceeded { .. }
            | Error::AccessDenied
            | Error::Unauthenticated
            | Error::Certificate { .. }
            | Error::MissingRequiredMetadata { .. }
            | Error::PersistentSubscriptionExists { .. }
            | Error::PersistentSubscriptionNotFound { .. }
            | Error::PersistentSubscriptionFailed { .. }
            | Error::MaximumSubscribersReached { .. }
            | Error::Unimplemented { .. }
            | Error::InvalidArgument { .. }
            | Error::PositionBeyondEnd { .. } => REFUSED,
        }
    }

    fn of_server(code: Code) -> Self {
        match code {
            Code::Aborted | Code::ResourceExhausted => AGAIN,
            Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists | Code::OutOfRange => {
                Self { call: false, may_be_written: false, ..AGAIN }
            }
            _ => Self { call: false, ..AGAIN },
        }
    }
}
