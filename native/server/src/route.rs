//! From a request to the method that answers it.

use std::sync::Arc;

use http::{Request, Response, StatusCode, Version, header};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::access::Identity;
use crate::caller::Caller;
use crate::node::{Context, Node};
use crate::panics::guarded;
use crate::requests::Watched;
use crate::table::{self, Missing};
use crate::{ending, fault, plain, web};

/// Answers any request. A panic on the way is an answer as well.
pub async fn answer(node: Arc<Node>, request: Request<Watched>) -> Response<Body> {
    if !is_grpc(&request) {
        return guarded(web::answer(&node, request)).await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "a request failed");
            plain::with_status(StatusCode::INTERNAL_SERVER_ERROR)
        });
    }
    let answered = guarded(route(node, request)).await;
    ending::readable(answered.unwrap_or_else(|panicked| fault::panicked(&panicked).into_http()))
}

async fn route(node: Arc<Node>, request: Request<Watched>) -> Response<Body> {
    let caller = Caller::of(request.headers(), Instant::now());
    let identity = match &node.users {
        None => Identity::Anybody,
        Some(users) => match users.identify(&node.engine, &caller.user).await {
            Ok(identity) => identity,
            Err(unknown) => return unknown.into_response(),
        },
    };
    let method = match table::find(request.uri().path()) {
        Ok(method) => method,
        Err(Missing::Method) => return Status::unimplemented("Method is unimplemented.").into_http(),
        Err(Missing::Service) => return Status::unimplemented("Service is unimplemented.").into_http(),
    };
    tracing::trace!(method = method.path, ?caller, "a call");
    if let Some(injected) = node.injections.take(method.path)
        && let Err(refused) = injected.act(caller.deadline, node.engine.stopping()).await
    {
        return refused.into_http();
    }
    method.handler.call(Context { node, caller, identity }, request).await
}

fn is_grpc(request: &Request<Watched>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
