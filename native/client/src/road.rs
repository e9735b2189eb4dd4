//! Judges what comes back from the road: whether it is what gRPC asks an answer to be.
//!
//! A proxy that answers in the server's place, a peer that speaks something else, a call that ends without its status, a
//! message that is cut or too large are found here and become a [`Fault`], whatever kind of call it is. The bytes are
//! passed on as they came.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tonic::body::Body as TonicBody;
use tonic::transport;
use tower_service::Service;
use wire::error::Fault;

use crate::hello::Heard;

type BoxError = Box<dyn Error + Send + Sync>;

const STATUS: &str = "grpc-status";

/// A channel, and what its connections heard that was no HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    inner: transport::Channel,
    heard: Heard,
}

impl Channel {
    pub(crate) fn new(inner: transport::Channel, heard: Heard) -> Self {
        Self { inner, heard }
    }
}

/// A channel whose answers are judged.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    channel: Channel,
    /// How large a message may be, in bytes.
    limit: u64,
}

impl Judged {
    pub(crate) fn new(channel: Channel, limit: u64) -> Self {
        Self { channel, limit }
    }
}

impl Service<Request<TonicBody>> for Judged {
    type Response = Response<JudgedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.channel.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<TonicBody>) -> Self::Future {
        let answer = self.channel.inner.call(request);
        let heard = self.channel.heard.clone();
        let limit = self.limit;
        Box::pin(async move {
            let answer = answer.await.map_err(|error| heard.reason(error.into()))?;
            head(answer.status(), answer.headers())?;
            let has_status = answer.headers().contains_key(STATUS);
            Ok(answer.map(|body| JudgedBody { body, framing: Framing::new(limit), has_status, fault: None }))
        })
    }
}

/// An answer that has gRPC's status is gRPC's, whatever else it says.
fn head(status: StatusCode, headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(STATUS) {
        return Ok(());
    }
    if status != StatusCode::OK {
        return Err(Fault::Http(status));
    }
    match headers.get(CONTENT_TYPE) {
        Some(kind) if !kind.as_bytes().starts_with(b"application/grpc") => {
            Err(Fault::ContentType(String::from_utf8_lossy(kind.as_bytes()).into_owned()))
        }
        _ => Ok(()),
    }
}

/// The body of an answer, up to the first fault.
#[derive(Debug)]
pub(crate) struct JudgedBody {
    body: TonicBody,
    framing: Framing,
    has_status: bool,
    /// Comes after the messages before it.
    fault: Option<Fault>,
}

impl Body for JudgedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault.into())));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(frame) => frame?,
            None => return Poll::Ready(self.end().err().map(|fault| Err(fault.into()))),
        };
        let frame = match frame.into_data() {
            Ok(data) => return Poll::Ready(Some(self.data(data).map(Frame::data))),
            Err(frame) => frame,
        };
        if let Some(trailers) = frame.trailers_ref() {
            self.has_status |= trailers.contains_key(STATUS);
            // an error is told by its status, a cut message by nothing else
            if !self.has_status || trailers.get(STATUS).is_some_and(|status| status.as_bytes() == b"0") {
                self.end()?;
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl JudgedBody {
    fn data(&mut self, data: Bytes) -> Result<Bytes, BoxError> {
        match self.framing.follow(&data) {
            Ok(()) => Ok(data),
            Err((0, fault)) => Err(fault.into()),
            Err((good, fault)) => {
                self.fault = Some(fault);
                Ok(data.slice(..good))
            }
        }
    }

    fn end(&self) -> Result<(), Fault> {
        if self.framing.is_within_message() {
            Err(Fault::Cut)
        } else if self.has_status {
            Ok(())
        } else {
            Err(Fault::NoStatus)
        }
    }
}

/// A flag and a length before each message.
const HEAD: usize = 5;

/// Where in its messages an answer is.
#[derive(Debug)]
struct Framing {
    limit: u64,
    head: [u8; HEAD],
    /// How much of the head has come.
    filled: usize,
    /// How much of the message is still to come.
    left: usize,
}

impl Framing {
    fn new(limit: u64) -> Self {
        Self { limit, head: [0; HEAD], filled: 0, left: 0 }
    }

    fn is_within_message(&self) -> bool {
        self.left > 0 || self.filled > 0
    }

    /// Follows the messages in what comes next; where a message begins that is none, the fault and how much is good.
    fn follow(&mut self, data: &[u8]) -> Result<(), (usize, Fault)> {
        let mut rest = data;
        loop {
            let Some(after) = rest.get(self.left..) else {
                self.left -= rest.len();
                return Ok(());
            };
            self.left = 0;
            let good = data.len() - after.len();
            rest = after;
            let part = rest.len().min(HEAD - self.filled);
            let (begun, after) = rest.split_at(part);
            if let Some(place) = self.head.get_mut(self.filled..self.filled + part) {
                place.copy_from_slice(begun);
            }
            self.filled += part;
            if self.filled < HEAD {
                return Ok(());
            }
            rest = after;
            self.filled = 0;
            self.left = self.message().map_err(|fault| (good, fault))?;
        }
    }

    fn message(&self) -> Result<usize, Fault> {
        let [flag, length @ ..] = self.head;
        // compression was not offered, so even 1 means nothing here
        if flag != 0 {
            return Err(Fault::Flag(flag));
        }
        let size = u64::from(u32::from_be_bytes(length));
        if size > self.limit {
            return Err(Fault::TooLarge { size, limit: self.limit });
        }
        usize::try_from(size).map_err(|_| Fault::TooLarge { size, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, length];
        bytes.extend(std::iter::repeat_n(7, length.into()));
        bytes
    }

    #[test]
    fn what_is_good_before_a_fault_is_told() {
        let mut bytes = message(3);
        bytes.extend([0, 0, 0, 1, 0]);
        let mut framing = Framing::new(255);
        assert_eq!(framing.follow(&bytes), Err((8, Fault::TooLarge { size: 256, limit: 255 })));
        let mut framing = Framing::new(255);
        assert_eq!(framing.follow(b"<html>"), Err((0, Fault::Flag(b'<'))));
    }

    proptest! {
        #[test]
        fn messages_are_followed_however_they_are_cut_into_frames(
            lengths in proptest::collection::vec(any::<u8>(), 1..10),
            cuts in proptest::collection::vec(1_usize..40, 1..60),
        ) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            let ends: Vec<usize> = lengths
                .iter()
                .scan(0, |end, length| { *end += HEAD + usize::from(*length); Some(*end) })
                .collect();
            let mut framing = Framing::new(255);
            let mut at = 0;
            for cut in cuts.into_iter().cycle() {
                let next = bytes.len().min(at + cut);
                prop_assert_eq!(framing.follow(&bytes[at..next]), Ok(()));
                at = next;
                prop_assert_eq!(framing.is_within_message(), at != 0 && !ends.contains(&at));
                if at == bytes.len() {
                    break;
                }
            }
        }
    }
}
