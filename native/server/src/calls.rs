//! One way to call every method: all requests as a stream, all answers as a stream.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::oneshot;
use tokio_stream::Empty;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status};

use crate::body::Written;
use crate::codec::ServerCodec;
use crate::fault;
use crate::messages::Messages;
use crate::panics::caught;
use crate::requests::{Requests, Watch, Watched};

/// The answers to a call: some messages at a time.
pub struct Answers(Pin<Box<dyn Stream<Item = Result<Messages, Status>> + Send>>);

impl Answers {
    /// Answers that a stream makes.
    pub fn new(stream: impl Stream<Item = Result<Messages, Status>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
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

/// How large a request may be on the wire; what an append may hold is judged by the store.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// A method, and where its answers go: tonic reads the requests, and has no part in writing what is answered.
struct Method<F>(Option<(F, Arc<Watch>, oneshot::Sender<Answers>)>);

impl<F, R, T> StreamingService<T> for Method<F>
where
    F: FnOnce(Requests<T>) -> R,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    type Response = Infallible;
    type ResponseStream = Empty<Result<Infallible, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<T>>) -> Self::Future {
        match self.0.take() {
            Some((method, watch, answered)) => {
                let answers = method(Requests::new(request.into_inner(), watch));
                Box::pin(async move {
                    // Who called may be gone.
                    let _ = answered.send(answers.await?);
                    Ok(Response::new(tokio_stream::empty()))
                })
            }
            None => Box::pin(async { Err(fault::handler()) }),
        }
    }
}

/// Calls a method with whatever is requested.
pub async fn call<T, F, R>(request: http::Request<Watched>, method: F) -> http::Response<Body>
where
    T: prost::Message + Default + Send + 'static,
    F: FnOnce(Requests<T>) -> R + Send,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    let watch = request.body().watch();
    let (answered, mut answers) = oneshot::channel();
    let response = Grpc::new(ServerCodec::<T>::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(MAX_REQUEST)
        .streaming(Method(Some((method, watch, answered))), request)
        .await;
    match answers.try_recv() {
        Ok(answers) => response.map(|_| Body::new(Written::new(answers))),
        // It was refused, and the headers say why.
        Err(_) => response,
    }
}

/// Calls a method that takes one request.
pub async fn call_with_one<T, F, R>(request: http::Request<Watched>, method: F) -> http::Response<Body>
where
    T: prost::Message + Default + Send + 'static,
    F: FnOnce(T) -> R + Send + 'static,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    call(request, |mut requests: Requests<T>| async move {
        let first = requests.next().await?.ok_or_else(|| Status::internal("Incomplete message."))?;
        if requests.next().await?.is_some() {
            return Err(Status::internal("Additional data after the message received."));
        }
        method(first).await
    })
    .await
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
