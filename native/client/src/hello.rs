//! What a peer says first: whether it speaks HTTP/2 at all, and TLS where it should.
//!
//! When a peer answers something else, the connection ends with that answer, and the calls that wait for it are only told
//! that they were cancelled, or that the connection closed, whichever comes first. So the first bytes are looked at where
//! they arrive, and what was heard there is kept beside the channel for whoever has to say why a call failed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use tonic::ConnectError;
use tower_service::Service;
use wire::error::Fault;

use crate::handshake::{self, Socket, shake};
use crate::spoken::{Spoken, words};
use crate::tls::Secured;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The head of a frame, which is how HTTP/2 begins.
const FRAME_HEAD: usize = 9;
/// What is looked at of an answer that is something else.
const LOOK: usize = 256;

/// What the last connection of a channel heard that was no HTTP/2.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Option<Fault>>>);

impl Heard {
    fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The reason of a call that failed: the foreign answer, where that is what ended its connection.
    pub(crate) fn reason(&self, error: BoxError) -> BoxError {
        if !ended_with_its_connection(&*error) {
            return error;
        }
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(fault) => fault.into(),
            None => error,
        }
    }
}

/// Told from a connection that was never made, a peer that is silent and a call whose time is over.
fn ended_with_its_connection(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut sources = std::iter::successors(Some(error), |error| error.source());
    let mut ended = false;
    sources.all(|error| {
        ended |= error.downcast_ref::<hyper::Error>().is_some_and(|error| !error.is_timeout());
        !error.is::<ConnectError>()
    }) && ended
}

/// Makes connections that listen to how their peer begins.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    http: HttpConnector,
    timeout: Duration,
    /// Which of its host's addresses is meant; `None`: any that answers.
    address: Option<SocketAddr>,
    secured: Option<Secured>,
    heard: Heard,
}

impl Connector {
    pub(crate) fn new(
        timeout: Duration,
        address: Option<SocketAddr>,
        secured: Option<Secured>,
        heard: Heard,
    ) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        // TLS is added here
        http.enforce_http(false);
        Self { http, timeout, address, secured, heard }
    }

    /// The same for another channel.
    pub(crate) fn heard_by(&self, heard: Heard) -> Self {
        Self { heard, ..self.clone() }
    }
}

impl Service<Uri> for Connector {
    type Response = Listening;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let until = Instant::now() + self.timeout;
        let target = match self.address {
            None => Ok(uri),
            Some(address) => {
                Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build()
            }
        };
        let connecting = target.map(|target| self.http.call(target));
        let Self { secured, heard, timeout, .. } = self.clone();
        Box::pin(async move {
            let socket = connecting?.await?.into_inner();
            let io = match &secured {
                None => Stream::Plain(socket),
                Some(secured) => match timeout_at(until, shake(socket, secured)).await {
                    Ok(stream) => Stream::Encrypted(Box::new(stream?), secured.clone()),
                    Err(_) => {
                        let late = format!("it did not finish the handshake within {}", Spoken(timeout));
                        return Err(Fault::Tls(late).into());
                    }
                },
            };
            Ok(Listening { io: TokioIo::new(io), hello: Some(Vec::new()), heard })
        })
    }
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Socket>>, Secured),
}

/// Calls the same of whichever it is.
macro_rules! either {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            Self::Plain($io) => {
                let $io = Pin::new($io);
                $call
            }
            Self::Encrypted($io, _) => {
                let $io = Pin::new($io);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Encrypted(io, _) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write_vectored(context, bytes))
    }
}

impl Stream {
    /// What TLS says that a failure to read is, where that follows a handshake: servers judge the client's certificate
    /// when the client thinks that it is through.
    fn refusal(&self, error: &io::Error) -> Option<Fault> {
        match self {
            Self::Plain(_) => None,
            Self::Encrypted(_, secured) => handshake::refusal(error, &secured.tls),
        }
    }

    /// What a peer that goes without a word may have wanted.
    fn silence(&self) -> Option<Fault> {
        match self {
            Self::Plain(_) => Some(Fault::Silent { may_want: "TLS (tls=true)" }),
            Self::Encrypted(..) => None,
        }
    }
}

/// A connection that is listened to until it is clear what its peer speaks.
#[derive(Debug)]
pub(crate) struct Listening {
    io: TokioIo<Stream>,
    /// What has come of the first frame's head; `None` once that is clear.
    hello: Option<Vec<u8>>,
    heard: Heard,
}

impl Listening {
    fn listen(
        &mut self,
        mut hello: Vec<u8>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; LOOK];
        let room = bytes.len().min(buffer.remaining());
        let Some(bytes) = bytes.get_mut(..room) else { return Poll::Ready(Ok(())) };
        let mut read = ReadBuf::new(bytes);
        let polled = match Pin::new(&mut self.io).poll_read(context, read.unfilled()) {
            Poll::Pending => {
                self.hello = Some(hello);
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => {
                let refusal = self.io.inner().refusal(&error);
                let silence = || if hello.is_empty() { self.io.inner().silence() } else { None };
                self.heard.set(refusal.clone().or_else(silence));
                return Poll::Ready(Err(refusal.map_or(error, foreign)));
            }
            polled => polled,
        };
        let came = read.filled();
        hello.extend(came);
        if !begins_a_frame(&hello) {
            let is_tls = matches!(self.io.inner(), Stream::Plain(_)) && handshake::is_tls(&hello);
            let kind = if is_tls { Fault::SpeaksTls } else { Fault::NotHttp2 };
            let fault = kind(words(&hello));
            self.heard.set(Some(fault.clone()));
            return Poll::Ready(Err(foreign(fault)));
        }
        // an end says nothing of what would have been spoken; neither does it confirm what was heard before
        if hello.len() >= FRAME_HEAD || came.is_empty() {
            self.heard.set(if hello.is_empty() { self.io.inner().silence() } else { None });
        } else {
            self.hello = Some(hello);
        }
        buffer.put_slice(came);
        polled
    }
}

fn foreign(fault: Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// Whether this can be how a frame begins: its length in 24 bits, of 16,384 at most, its type, flags and stream, which is
/// the connection itself.
fn begins_a_frame(bytes: &[u8]) -> bool {
    bytes.iter().take(FRAME_HEAD).enumerate().all(|(at, byte)| match at {
        0 => *byte == 0,
        1 => *byte <= 0x40,
        3 => *byte <= 9,
        5 => byte & 0x7F == 0,
        6..FRAME_HEAD => *byte == 0,
        _ => true,
    })
}

impl Read for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.hello.take() {
            None => Pin::new(&mut self.io).poll_read(context, buffer),
            Some(hello) => self.listen(hello, context, buffer),
        }
    }
}

impl Listening {
    /// A peer that goes before it has said anything may be met by who writes.
    fn written<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let is_silent = self.hello.as_ref().is_some_and(Vec::is_empty);
        if matches!(polled, Poll::Ready(Err(_))) && is_silent {
            self.heard.set(self.io.inner().silence());
        }
        polled
    }
}

impl Write for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.written(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.written(polled)
    }
}
