//! Channels to one server, and the calls made over them.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};
use wire::connection_string::Settings;
use wire::error::Error;
use wire::proto::streams::{AppendReq, ReadReq};

use crate::hello::{Connector, Heard};
use crate::raw::RawAnswers;
use crate::road::{Channel, Judged};

/// The largest message that is taken by default, in bytes: an event of 16 MB with its names and metadata.
pub const MAX_MESSAGE_SIZE: u64 = 17 * 1024 * 1024;
/// What a server may say in the head of an answer: an error names its stream twice, and each byte of a name may take
/// three there.
const MAX_HEADERS: u32 = 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a server may send ahead of the reader, per call and per connection: the bound of what lies in sockets.
const WINDOW: u32 = 1024 * 1024;
const READ: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Read");
const APPEND: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Append");

/// What a connection string asks for that this client does not do yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Encrypted connections.
    #[error("connection string: tls=true (the default) is not supported yet; it takes tls=false")]
    Tls,
    /// Discovery of a cluster's nodes.
    #[error("connection string: {0} is not supported yet; it takes one host without +discover")]
    Discovery(&'static str),
    /// A text that cannot travel as metadata of a call.
    #[error("connection string: {0} takes visible ASCII characters")]
    Metadata(&'static str),
    /// The address cannot be used.
    #[error("connection string: the address {0} cannot be connected to: {1}")]
    Address(String, String),
}

/// How to reach a server, and the channel that short calls share.
#[derive(Debug, Clone)]
pub struct Connection {
    endpoint: Endpoint,
    shared: Channel,
    address: String,
    deadline: Option<Duration>,
    ping: Option<Duration>,
    metadata: Vec<(&'static str, AsciiMetadataValue)>,
}

impl Connection {
    /// A connection that is made when it is first used, and made again whenever it was lost.
    ///
    /// Must be called within a tokio runtime.
    pub fn new(settings: &Settings) -> Result<Self, Unsupported> {
        if settings.tls {
            return Err(Unsupported::Tls);
        }
        if settings.discover {
            return Err(Unsupported::Discovery("+discover"));
        }
        let [host] = settings.hosts.as_slice() else {
            return Err(Unsupported::Discovery("a list of hosts"));
        };
        let address = host.to_string();
        let mut endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Unsupported::Address(address.clone(), error.to_string()))?
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_max_header_list_size(MAX_HEADERS);
        if let Some(interval) = settings.keep_alive_interval {
            endpoint = endpoint.http2_keep_alive_interval(interval).keep_alive_while_idle(true);
        }
        if let Some(timeout) = settings.keep_alive_timeout {
            endpoint = endpoint.keep_alive_timeout(timeout);
        }
        let heard = Heard::default();
        let shared = endpoint.connect_with_connector_lazy(Connector::new(CONNECT_TIMEOUT, heard.clone()));
        Ok(Self {
            endpoint,
            shared: Channel::new(shared, heard),
            address,
            deadline: settings.default_deadline,
            ping: settings.keep_alive_timeout,
            metadata: metadata(settings)?,
        })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How long a short call may take; `None` is for ever.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The channel of short calls.
    pub(crate) fn shared(&self) -> Channel {
        self.shared.clone()
    }

    /// A channel of its own for a long read: one that is not being read fills only its own connection's window, and
    /// never holds up what others do.
    pub(crate) async fn own(&self) -> Result<Channel, Error> {
        let heard = Heard::default();
        let connector = Connector::new(CONNECT_TIMEOUT, heard.clone());
        let channel = self.endpoint.connect_with_connector(connector).await;
        channel
            .map(|channel| Channel::new(channel, heard))
            .map_err(|error| Error::from(Status::from_error(Box::new(error))))
    }

    /// The error with the address in it, where it is the server that is missing or silent.
    pub(crate) fn named(&self, error: Error) -> Error {
        match error {
            Error::Unavailable { message } if message == Error::NO_PONG => {
                let within = self.ping.map(|ping| format!(" within {}", Spoken(ping))).unwrap_or_default();
                Error::Unavailable { message: format!("{}: {message}{within}", self.address) }
            }
            Error::Unavailable { message } => Error::Unavailable { message: self.with_address(message) },
            Error::Protocol { message } => Error::Protocol { message: self.with_address(message) },
            Error::NotHttp2 { message } => Error::NotHttp2 { message: self.with_address(message) },
            Error::Cancelled { message } => Error::Cancelled { message: self.with_address(message) },
            Error::DeadlineExceeded { message } => {
                Error::DeadlineExceeded { message: self.with_address(message) }
            }
            error => error,
        }
    }

    fn with_address(&self, message: String) -> String {
        if message.contains(&self.address) { message } else { format!("{}: {message}", self.address) }
    }

    /// A request as the user that the connection string names.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(*name, value.clone());
        }
        request
    }

    /// The same with a deadline that the server is told.
    pub(crate) fn timely<T>(&self, message: T, deadline: Option<Duration>) -> Request<T> {
        let mut request = self.request(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

/// A time as texts say it.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) => write!(f, "{seconds} s"),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

fn metadata(settings: &Settings) -> Result<Vec<(&'static str, AsciiMetadataValue)>, Unsupported> {
    let mut metadata = Vec::new();
    if let Some(credentials) = &settings.credentials {
        let pair = format!("{}:{}", credentials.user, credentials.password.expose());
        let basic = format!("Basic {}", BASE64.encode(pair));
        let value =
            AsciiMetadataValue::try_from(basic).map_err(|_| Unsupported::Metadata("user:password"))?;
        metadata.push(("authorization", value));
    }
    if let Some(name) = &settings.connection_name {
        let value =
            AsciiMetadataValue::try_from(name).map_err(|_| Unsupported::Metadata("connectionName"))?;
        metadata.push(("connection-name", value));
    }
    Ok(metadata)
}

/// Calls Streams.Read; the answers stay bytes, of which none may be larger than `limit`.
pub(crate) async fn read(
    channel: Channel,
    request: Request<ReadReq>,
    limit: u64,
) -> Result<Streaming<Bytes>, Error> {
    let answer = ready(channel, limit).await?.server_streaming(request, READ, RawAnswers::default()).await;
    Ok(answer.map_err(Error::from)?.into_inner())
}

/// Calls Streams.Append; the answer stays bytes, as a failure to decode it is told from one of the server.
pub(crate) async fn append(
    channel: Channel,
    request: Request<impl Stream<Item = AppendReq> + Send + 'static>,
) -> Result<Bytes, Status> {
    let mut grpc = ready(channel, MAX_MESSAGE_SIZE).await?;
    Ok(grpc.client_streaming(request, APPEND, RawAnswers::default()).await?.into_inner())
}

async fn ready(channel: Channel, limit: u64) -> Result<Grpc<Judged>, Status> {
    // the limit is watched where it is told from what a server may say
    let mut grpc = Grpc::new(Judged::new(channel, limit)).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(Status::from_error)?;
    Ok(grpc)
}
