//! The requests of one call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::Streaming;

/// Requests, up to an end that the client said.
///
/// tonic takes a call that the client cancelled for one whose requests have ended; what is half sent must not count.
pub struct Requests<T> {
    stream: Streaming<T>,
    broken: Arc<AtomicBool>,
}

impl<T> Requests<T> {
    /// The requests that come in a body that [`watched`] made.
    pub fn new(stream: Streaming<T>, broken: Arc<AtomicBool>) -> Self {
        Self { stream, broken }
    }

    /// The next request, unless there are no more.
    ///
    /// # Errors
    /// When the client went away, or sent what is no request.
    pub async fn next(&mut self) -> Result<Option<T>, Status> {
        match self.stream.try_next().await? {
            None if self.broken.load(Ordering::Acquire) => Err(Status::cancelled("the call was cancelled")),
            next => Ok(next),
        }
    }
}

/// The same body, and whether it broke off.
pub fn watched(body: Body) -> (Body, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    (Body::new(Watched { body, broken: broken.clone() }), broken)
}

struct Watched {
    body: Body,
    broken: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if matches!(frame, Some(Err(_))) {
            self.broken.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
