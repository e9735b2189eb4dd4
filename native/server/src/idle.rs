//! A socket on which a client that says nothing is not waited for for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a client sends first over HTTP/2; with fewer bytes it is not even known what it speaks.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose first bytes must come within a time. What comes after them is for HTTP to watch.
///
/// If they are the beginning of HTTP/2's and end there, so does the connection: an answer by HTTP/1.1 would tell a
/// client whose road was cut that there is no server that it understands.
pub struct Awaited<S> {
    socket: S,
    missing: &'static [u8],
    begins_http2: bool,
    given_up: Option<Pin<Box<Sleep>>>,
}

impl<S> Awaited<S> {
    /// Waits so long for the first bytes.
    pub fn new(socket: S, patience: Duration) -> Self {
        let given_up = Some(Box::pin(tokio::time::sleep(patience)));
        Self { socket, missing: PREFACE, begins_http2: false, given_up }
    }

    /// Takes note of what has come; nothing is the end.
    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            let cut = self.begins_http2.then(|| io::ErrorKind::UnexpectedEof.into());
            return cut.map_or(Ok(()), Err);
        }
        let expected = bytes.len().min(self.missing.len());
        let (due, missing) = self.missing.split_at_checked(expected).unwrap_or_default();
        let first = self.missing.len() == PREFACE.len();
        self.begins_http2 = (first || self.begins_http2) && bytes.starts_with(due) && !missing.is_empty();
        self.missing = missing;
        if missing.is_empty() {
            self.given_up = None;
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Awaited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(context, buffer) {
            let came = buffer.filled().get(before..).unwrap_or_default();
            return Poll::Ready(read.and_then(|()| self.came(came)));
        }
        match &mut self.given_up {
            Some(given_up) => {
                ready!(given_up.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Awaited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
