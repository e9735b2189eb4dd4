//! One way to call every method: all requests as a stream, all answers as a stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use futures_util::Stream;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status};

use crate::codec::ServerCodec;
use crate::fault;
use crate::messages::Message;
use crate::requests::{Requests, watched};

/// The answers to a call.
pub struct Answers(Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>);

impl Answers {
    /// Answers that a stream makes.
    pub fn new(stream: impl Stream<Item = Result<Message, Status>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// A single message as the whole answer.
    pub fn one(message: &impl prost::Message) -> Self {
        Self::new(tokio_stream::once(Ok(Message::of(message))))
    }
}

impl Stream for Answers {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// How large a request may be on the wire; what an append may hold is judged by the store.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

struct Method<F>(Option<(F, Arc<AtomicBool>)>);

impl<F, R, T> StreamingService<T> for Method<F>
where
    F: FnOnce(Requests<T>) -> R,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    type Response = Message;
    type ResponseStream = Answers;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answers>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<T>>) -> Self::Future {
        match self.0.take() {
            Some((method, broken)) => {
                let answers = method(Requests::new(request.into_inner(), broken));
                Box::pin(async move { answers.await.map(Response::new) })
            }
            None => Box::pin(async { Err(fault::handler()) }),
        }
    }
}

/// Calls a method with whatever is requested.
pub async fn call<T, F, R>(request: http::Request<Body>, method: F) -> http::Response<Body>
where
    T: prost::Message + Default + Send + 'static,
    F: FnOnce(Requests<T>) -> R + Send,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let (body, broken) = watched(body);
    Grpc::new(ServerCodec::<T>::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(usize::MAX)
        .streaming(Method(Some((method, broken))), http::Request::from_parts(parts, body))
        .await
}

/// Calls a method that takes one request.
pub async fn call_with_one<T, F, R>(request: http::Request<Body>, method: F) -> http::Response<Body>
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
