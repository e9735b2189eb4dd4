//! What goes wrong between a client and a server that understand each other.

use http::StatusCode;

use super::{Error, Which};

/// What the answer to a call was instead of what gRPC asks of it.
///
/// Proxies and load balancers give such answers in a server's place. Whoever reads the answers finds the fault and
/// puts it into the status as its source, so that nobody has to tell it by its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The peer began with what is no HTTP/2: its first words.
    #[error("it answered \"{0}\"")]
    NotHttp2(String),
    /// The peer began with what is TLS, where nothing is to be encrypted: its first words.
    #[error("it answered \"{0}\", which is TLS: for such a server take tls=true")]
    SpeaksTls(String),
    /// The peer began with what is no TLS: its first words.
    #[error("it does not speak TLS, it answered \"{0}\"; for a server without TLS take tls=false")]
    NotTls(String),
    /// The peer went before it said anything.
    #[error("it closed the connection before a word, as a server may do that wants {may_want}")]
    Silent {
        /// What it may have wanted instead.
        may_want: &'static str,
    },
    /// One of the two does not accept the other's certificate.
    #[error("{0}")]
    Certificate(String),
    /// TLS failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Another HTTP status than 200, and no status of gRPC's.
    #[error("the answer has the HTTP status {0} and no gRPC status")]
    Http(StatusCode),
    /// The answer is something else than gRPC by its own content type.
    #[error("the answer is {0:?} and not gRPC")]
    ContentType(String),
    /// The answer ended without a status.
    #[error("the answer ended without a status; something between here and the server ended it")]
    NoStatus,
    /// The answer ended in the middle of a message.
    #[error("the answer ended in the middle of a message")]
    Cut,
    /// A message begins with what no message begins with.
    #[error("a message begins with the flag {0}, which means nothing")]
    Flag(u8),
    /// A message is larger than the reader takes.
    #[error("a message of {size} bytes; the limit is {limit} bytes")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        let message = fault.to_string();
        match fault {
            Fault::NotHttp2(_) | Fault::SpeaksTls(_) | Fault::NotTls(_) | Fault::Tls(_) => {
                Error::NotHttp2 { message }
            }
            Fault::Silent { .. } => Error::Unavailable { message },
            Fault::Certificate(_) => Error::Certificate { message },
            Fault::Http(status) if may_pass(*status) => Error::Unavailable { message },
            Fault::Http(_) | Fault::ContentType(_) => Error::Protocol { message },
            Fault::NoStatus | Fault::Cut => Error::Unavailable { message },
            Fault::Flag(_) => Error::Undecodable { what: Which::Answer, message },
            Fault::TooLarge { size, limit } => {
                Error::TooLarge { what: Which::Answer, size: *size, limit: *limit }
            }
        }
    }
}

/// Statuses that say "not now": of a gateway whose server is away, or that has too much to do. A server's own faults
/// are among them, as they are when gRPC says so.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}
