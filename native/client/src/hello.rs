//! What a peer says first: whether it speaks HTTP/2 at all.
//!
//! When a peer answers something else, the connection ends with that answer, and the calls that wait for it are only told
//! that they were cancelled, or that the connection closed, whichever comes first. So the first bytes are looked at where
//! they arrive, and what was heard there is kept beside the channel for whoever has to say why a call failed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::ConnectError;
use tower_service::Service;
use wire::error::Fault;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The head of a frame, which is how HTTP/2 begins.
const FRAME_HEAD: usize = 9;
/// What is looked at of an answer that is something else.
const LOOK: usize = 256;
/// What is shown of it.
const SHOWN: usize = 80;

/// What the last connection of a channel heard that was no HTTP/2.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Option<String>>>);

impl Heard {
    fn set(&self, words: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// The reason of a call that failed: the foreign answer, where that is what ended its connection.
    pub(crate) fn reason(&self, error: BoxError) -> BoxError {
        if !ended_with_its_connection(&*error) {
            return error;
        }
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(words) => Fault::NotHttp2(words).into(),
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
    heard: Heard,
}

impl Connector {
    pub(crate) fn new(timeout: Duration, heard: Heard) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        Self { http, heard }
    }
}

impl Service<Uri> for Connector {
    type Response = Listening<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.http.call(uri);
        let heard = self.heard.clone();
        Box::pin(async move { Ok(Listening { io: connecting.await?, hello: Some(Vec::new()), heard }) })
    }
}

/// A connection that is listened to until it is clear what its peer speaks.
#[derive(Debug)]
pub(crate) struct Listening<T> {
    io: T,
    /// What has come of the first frame's head; `None` once that is clear.
    hello: Option<Vec<u8>>,
    heard: Heard,
}

impl<T: Read + Unpin> Listening<T> {
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
        let polled = Pin::new(&mut self.io).poll_read(context, read.unfilled());
        if polled.is_pending() {
            self.hello = Some(hello);
            return Poll::Pending;
        }
        let came = read.filled();
        hello.extend(came);
        if !begins_a_frame(&hello) {
            let words = words(&hello);
            self.heard.set(Some(words.clone()));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Fault::NotHttp2(words))));
        }
        // an end says nothing of what would have been spoken; neither does it confirm what was heard before
        if hello.len() >= FRAME_HEAD || came.is_empty() {
            self.heard.set(None);
        } else {
            self.hello = Some(hello);
        }
        buffer.put_slice(came);
        polled
    }
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

/// The first line of what was said.
fn words(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line.get(..SHOWN).unwrap_or(line).escape_ascii().to_string()
}

impl<T: Read + Unpin> Read for Listening<T> {
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

impl<T: Write + Unpin> Write for Listening<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
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
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}
