//! The requests of one call, from its body on.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::codec::Streaming;

use crate::allowance::{Allowance, Room, Share};
use crate::fault;

/// How much of a refused request is still read, and for how long.
const REST: usize = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests, up to an end that the client said.
///
/// tonic takes a call that the client cancelled for one whose requests have ended; what is half sent must not count.
pub struct Requests<T> {
    stream: Streaming<T>,
    watch: Arc<Watch>,
}

impl<T> Requests<T> {
    /// The requests that come in a body that is watched.
    pub fn new(stream: Streaming<T>, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    /// The next request, unless there are no more.
    ///
    /// # Errors
    /// When the client went away, sent what is no request, or sent too much.
    pub async fn next(&mut self) -> Result<Option<T>, Status> {
        let next = self.stream.try_next().await;
        self.watch.arriving().clear();
        match next? {
            None if self.watch.broken.load(Ordering::Acquire) => {
                Err(Status::cancelled("the call was cancelled"))
            }
            next => Ok(next),
        }
    }

    /// Room for what is kept of the requests.
    pub fn allowance(&self) -> &Arc<Allowance> {
        &self.watch.kept
    }
}

/// What is seen of a body while it is read.
pub struct Watch {
    kept: Arc<Allowance>,
    broken: AtomicBool,
    /// The bytes of a request that is not whole yet.
    arriving: Mutex<Share>,
}

impl Watch {
    fn arriving(&self) -> std::sync::MutexGuard<'_, Share> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request. What nobody reads of it is read and thrown away, within bounds.
///
/// A request that is refused in the middle would be reset otherwise, and what its client had sent already would
/// count as an error of the connection: after a thousand of them HTTP/2 gives up the connection, with every call on it.
pub struct Watched {
    body: Option<Incoming>,
    watch: Arc<Watch>,
}

impl Watched {
    /// Watches a body of a connection that has this room.
    pub fn new(body: Incoming, room: &Room) -> Self {
        let arriving = Mutex::new(Share::new(&room.arriving));
        let watch = Watch { kept: room.kept.clone(), broken: AtomicBool::new(false), arriving };
        Self { body: Some(body), watch: Arc::new(watch) }
    }

    /// What is seen of it.
    pub fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let fits = self.watch.arriving().grow(length);
                Poll::Ready(Some(fits.map(|()| frame).map_err(fault::exhausted)))
            }
            Some(Err(error)) => {
                self.body = None;
                self.watch.broken.store(true, Ordering::Release);
                Poll::Ready(Some(Err(Status::from_error(error.into()))))
            }
            None => {
                self.body = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take().filter(|body| !body.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(throw_away(rest));
        }
    }
}

/// Reads what is left of a body: to its end, or as long as it is worth it.
async fn throw_away(mut body: Incoming) {
    let rest = async {
        let mut left = REST;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // A client that goes on for longer has its call reset.
    let _ = tokio::time::timeout(PATIENCE, rest).await;
}
