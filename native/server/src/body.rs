//! The body of an answer: messages as they come, then how the call ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream as _;
use http::HeaderMap;
use http_body::{Body, Frame};
use tonic::Status;

use crate::answers::Answers;
use crate::messages::Messages;

/// Small messages that are there are gathered up to this many bytes, and go out together.
const GATHERED: usize = 32 * 1024;

/// Answers as a body.
pub struct Written {
    /// Until the call ended.
    answers: Option<Answers>,
    /// What the call ended with, until it is said.
    status: Option<Status>,
}

impl Written {
    /// The body that these answers make.
    pub fn new(answers: Answers) -> Self {
        Self { answers: Some(answers), status: None }
    }

    /// The messages that are there. When the call ended, its status is known afterwards.
    fn gather(&mut self, context: &mut Context<'_>) -> Messages {
        let mut gathered = Messages::default();
        while let Some(answers) = &mut self.answers
            && gathered.length() < GATHERED
        {
            let status = match Pin::new(answers).poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(messages))) => {
                    gathered.append(messages);
                    continue;
                }
                Poll::Ready(Some(Err(status))) => status,
                Poll::Ready(None) => Status::ok(""),
            };
            (self.answers, self.status) = (None, Some(status));
        }
        gathered
    }
}

impl Body for Written {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let gathered = self.gather(context);
        if !gathered.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(gathered.into_bytes()))));
        }
        if self.answers.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(self.status.take().map(|status| {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.answers.is_none() && self.status.is_none()
    }
}
