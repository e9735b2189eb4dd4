//! A node of a server, and the channels to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tonic::Status;
use tonic::transport::Endpoint as HttpEndpoint;
use wire::connection_string::Endpoint;
use wire::error::Error;

use crate::hello::{Connector, Heard};
use crate::road::Channel;
use crate::settings::Settings;
use crate::spoken::Spoken;
use crate::tls::Secured;
use crate::unusable::Unusable;

/// What a server may say in the head of an answer: an error names its stream twice, and each byte of a name may take
/// three there.
const MAX_HEADERS: u32 = 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a server may send ahead of the reader, per call and per connection: the bound of what lies in sockets.
const WINDOW: u32 = 1024 * 1024;

/// How to reach a node, and the channel that short calls share.
#[derive(Debug)]
pub(crate) struct Node {
    host: Endpoint,
    address: String,
    endpoint: HttpEndpoint,
    connector: Connector,
    shared: Channel,
    pong_within: Option<Duration>,
    /// It serves no longer as is wished, though it answers.
    is_unfit: AtomicBool,
}

impl Node {
    /// A node whose shared channel is made when it is first used, and made again whenever it was lost.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn new(host: &Endpoint, settings: &Settings) -> Result<Self, Unusable> {
        Self::at(host, None, settings)
    }

    /// The same for one of the addresses that the host's name has.
    pub(crate) fn at(host: &Endpoint, ip: Option<SocketAddr>, settings: &Settings) -> Result<Self, Unusable> {
        let address = host.to_string();
        let unusable = |error: String| Unusable::Address(address.clone(), error);
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let mut endpoint = HttpEndpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(|error| unusable(error.to_string()))?
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_max_header_list_size(MAX_HEADERS);
        if let Some(interval) = settings.ping_after {
            endpoint = endpoint.http2_keep_alive_interval(interval).keep_alive_while_idle(true);
        }
        if let Some(timeout) = settings.pong_within {
            endpoint = endpoint.keep_alive_timeout(timeout);
        }
        let secured = settings.tls.clone().map(|tls| {
            let name = ServerName::try_from(host.host.clone());
            name.map(|name| Secured { tls, name }).map_err(|error| unusable(error.to_string()))
        });
        let heard = Heard::default();
        let connector = Connector::new(CONNECT_TIMEOUT, ip, secured.transpose()?, heard.clone());
        let shared = endpoint.connect_with_connector_lazy(connector.clone());
        let shared = Channel::new(shared, heard);
        let address = match ip {
            Some(ip) if ip.to_string() != address => format!("{address} ({})", ip.ip()),
            _ => address,
        };
        let (host, pong_within) = (host.clone(), settings.pong_within);
        Ok(Self { host, address, endpoint, connector, shared, pong_within, is_unfit: AtomicBool::new(false) })
    }

    /// Its name and port.
    pub(crate) fn host(&self) -> &Endpoint {
        &self.host
    }

    /// What whoever is elsewhere is told.
    pub(crate) fn leads(&self) -> Error {
        let Endpoint { host, port } = self.host.clone();
        Error::NotLeader { host, port }
    }

    /// Whether whoever is on it should go.
    pub(crate) fn is_unfit(&self) -> bool {
        self.is_unfit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unfit(&self, unfit: bool) {
        self.is_unfit.store(unfit, Ordering::Relaxed);
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The channel of short calls.
    pub(crate) fn shared(&self) -> Channel {
        self.shared.clone()
    }

    /// A channel of its own for a long read: one that is not being read fills only its own connection's window, and
    /// never holds up what others do.
    pub(crate) async fn own(&self) -> Result<Channel, Error> {
        let heard = Heard::default();
        let connector = self.connector.heard_by(heard.clone());
        let channel = self.endpoint.connect_with_connector(connector).await;
        channel
            .map(|channel| Channel::new(channel, heard))
            .map_err(|error| Error::from(Status::from_error(Box::new(error))))
    }

    /// The error with the address in it, where it is the server that is missing or silent.
    pub(crate) fn named(&self, error: Error) -> Error {
        match error {
            Error::Unavailable { message } if message == Error::NO_PONG => {
                let within = self.pong_within.map(|time| format!(" within {}", Spoken(time)));
                let within = within.unwrap_or_default();
                Error::Unavailable { message: format!("{}: {message}{within}", self.address) }
            }
            Error::Unavailable { message } => Error::Unavailable { message: self.with_address(message) },
            Error::Protocol { message } => Error::Protocol { message: self.with_address(message) },
            Error::Certificate { message } => Error::Certificate { message: self.with_address(message) },
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
}
