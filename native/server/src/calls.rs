//! The four kinds of method, and one way to call them all: all requests as a stream, all answers as a stream.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tokio::sync::oneshot;
use tokio_stream::Empty;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::server::{Grpc, StreamingService};

use crate::answers::Answers;
use crate::body::Written;
use crate::codec::ServerCodec;
use crate::fault;
use crate::node::Context;
use crate::requests::{Requests, Watch, Watched};

/// How large a request may be on the wire; what an append may hold is judged by the store.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// What a method does, by its kind.
#[derive(Clone, Copy)]
pub enum Handler {
    /// One request, one answer.
    Unary(fn(WithOne) -> Answering),
    /// One request, any number of answers.
    ServerStreaming(fn(WithOne) -> Answering),
    /// Any number of requests, one answer.
    ClientStreaming(fn(WithMany) -> Answering),
    /// Any number of both.
    Duplex(fn(WithMany) -> Answering),
}

/// A call on its way to its answer.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Handler {
    /// Calls the method.
    pub fn call(self, context: Context, request: Request<Watched>) -> Answering {
        let call = WithMany { context, request };
        match self {
            Self::Unary(handler) | Self::ServerStreaming(handler) => handler(WithOne(call)),
            Self::ClientStreaming(handler) | Self::Duplex(handler) => handler(call),
        }
    }
}

/// A call that has one request.
pub struct WithOne(WithMany);

impl WithOne {
    /// Has a method answer it.
    pub fn answered_by<T, F, R>(self, method: F) -> Answering
    where
        T: prost::Message + Default + Send + 'static,
        F: FnOnce(Context, T) -> R + Send + 'static,
        R: Future<Output = Result<Answers, Status>> + Send + 'static,
    {
        self.0.answered_by(|context, mut requests: Requests<T>| async move {
            let first = requests.next().await?.ok_or_else(|| Status::internal("Incomplete message."))?;
            if requests.next().await?.is_some() {
                return Err(Status::internal("Additional data after the message received."));
            }
            method(context, first).await
        })
    }
}

/// A call that has any number of requests.
pub struct WithMany {
    context: Context,
    request: Request<Watched>,
}

impl WithMany {
    /// Has a method answer it, as long as the caller waits.
    pub fn answered_by<T, F, R>(self, method: F) -> Answering
    where
        T: prost::Message + Default + Send + 'static,
        F: FnOnce(Context, Requests<T>) -> R + Send + 'static,
        R: Future<Output = Result<Answers, Status>> + Send + 'static,
    {
        let Self { context, request } = self;
        Box::pin(async move {
            let Some(deadline) = context.caller.deadline else {
                return answer(context, request, method).await;
            };
            let answer = tokio::time::timeout_at(deadline, answer(context, request, method));
            answer.await.unwrap_or_else(|_| fault::late().into_http())
        })
    }
}

async fn answer<T, F, R>(context: Context, request: Request<Watched>, method: F) -> Response<Body>
where
    T: prost::Message + Default + Send + 'static,
    F: FnOnce(Context, Requests<T>) -> R + Send + 'static,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    let (watch, deadline) = (request.body().watch(), context.caller.deadline);
    let (answered, mut answers) = oneshot::channel();
    let method = move |requests| method(context, requests);
    let response = Grpc::new(ServerCodec::<T>::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(MAX_REQUEST)
        .streaming(Method(Some((method, watch, answered))), request)
        .await;
    match answers.try_recv() {
        Ok(answers) => response.map(|_| Body::new(Written::new(answers.until(deadline)))),
        // It was refused, and the headers say why.
        Err(_) => response,
    }
}

/// A method, and where its answers go: tonic reads the requests, and has no part in writing what is answered.
struct Method<F>(Option<(F, Arc<Watch>, oneshot::Sender<Answers>)>);

impl<F, R, T> StreamingService<T> for Method<F>
where
    F: FnOnce(Requests<T>) -> R,
    R: Future<Output = Result<Answers, Status>> + Send + 'static,
{
    type Response = Infallible;
    type ResponseStream = Empty<Result<Infallible, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<T>>) -> Self::Future {
        match self.0.take() {
            Some((method, watch, answered)) => {
                let answers = method(Requests::new(request.into_inner(), watch));
                Box::pin(async move {
                    // Who called may be gone.
                    let _ = answered.send(answers.await?);
                    Ok(tonic::Response::new(tokio_stream::empty()))
                })
            }
            None => Box::pin(async { Err(fault::handler()) }),
        }
    }
}
