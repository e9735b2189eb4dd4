//! What a method answers: messages, some at a time, until the call ends.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::fault;
use crate::messages::Messages;
use crate::panics::caught;

/// The answers to a call: some messages at a time.
pub struct Answers(Pin<Box<dyn Stream<Item = Result<Messages, Status>> + Send>>);

impl Answers {
    /// Answers that a stream makes.
    pub fn new(stream: impl Stream<Item = Result<Messages, Status>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// The same answers, which end with an error when the time is over that the caller gave.
    pub fn until(self, deadline: Option<Instant>) -> Self {
        match deadline {
            Some(deadline) => Self::new(Until { answers: Some(self), over: Box::pin(sleep_until(deadline)) }),
            None => self,
        }
    }

    /// A single message as the whole answer.
    pub fn one(message: &impl prost::Message) -> Self {
        Self::new(tokio_stream::once(Ok(Messages::of(message))))
    }
}

impl Stream for Answers {
    type Item = Result<Messages, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match caught(|| self.0.as_mut().poll_next(context)) {
            Ok(polled) => polled,
            Err(panicked) => {
                self.0 = Box::pin(tokio_stream::empty());
                Poll::Ready(Some(Err(fault::panicked(&panicked))))
            }
        }
    }
}

/// Answers for as long as their caller waits.
struct Until {
    answers: Option<Answers>,
    over: Pin<Box<Sleep>>,
}

impl Stream for Until {
    type Item = Result<Messages, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { answers, over } = &mut *self;
        let Some(left) = answers else { return Poll::Ready(None) };
        // First: who always has something to answer must end as well.
        if over.as_mut().poll(context).is_ready() {
            *answers = None;
            return Poll::Ready(Some(Err(fault::late())));
        }
        Pin::new(left).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn answers_that_panic_end_with_an_error_that_says_so() {
        let mut left = 1;
        let stream = futures_util::stream::poll_fn(move |_| {
            assert!(left > 0, "a fault");
            left -= 1;
            Poll::Ready(Some(Ok(Messages::of(&wire::proto::Empty {}))))
        });
        let mut answers = Answers::new(stream);
        assert!(answers.next().await.unwrap().is_ok());
        let error = answers.next().await.unwrap().unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (tonic::Code::Internal, "The server failed: panic: a fault")
        );
        assert!(answers.next().await.is_none());
    }
}
