//! From a request's path to a method.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response, Version, header};
use tonic::Status;
use tonic::body::Body;
use uuid::Uuid;
use wire::proto::Empty;
use wire::proto::operations::{SetNodePriorityReq, StopScavengeReq};
use wire::proto::streams::{AppendReq, BatchAppendReq, DeleteReq, ReadReq, TombstoneReq};

use crate::calls::{Answers, call, call_with_one};
use crate::engine::Engine;
use crate::requests::Requests;
use crate::{append, batch, delete, features, gossip, operations, read, web};

/// What every call may need.
pub struct Node {
    /// The store.
    pub engine: Arc<Engine>,
    /// The server's own id.
    pub instance: Uuid,
    /// Where the server is to be found.
    pub address: SocketAddr,
}

const SERVICES: [&str; 4] = [
    "event_store.client.streams.streams",
    "event_store.client.gossip.gossip",
    "event_store.client.operations.operations",
    "event_store.client.server_features.serverfeatures",
];

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers any request.
pub fn answer(node: Arc<Node>, request: Request<Body>) -> Answering {
    Box::pin(route(node, request))
}

async fn route(node: Arc<Node>, request: Request<Body>) -> Response<Body> {
    if !is_grpc(&request) {
        let (parts, _) = request.into_parts();
        return web::answer(&node, &parts).await;
    }
    // Names are matched without case, as the real server does.
    let path = request.uri().path().to_ascii_lowercase();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let engine = node.engine.clone();
    match (service, method) {
        ("event_store.client.streams.streams", "read") => {
            call_with_one(request, |asked: ReadReq| read::read(engine, asked)).await
        }
        ("event_store.client.streams.streams", "append") => {
            call(request, |requests: Requests<AppendReq>| append::append(engine, requests)).await
        }
        ("event_store.client.streams.streams", "batchappend") => {
            call(request, |requests: Requests<BatchAppendReq>| batch::batch_append(engine, requests)).await
        }
        ("event_store.client.streams.streams", "delete") => {
            call_with_one(request, |asked: DeleteReq| delete::delete(engine, asked)).await
        }
        ("event_store.client.streams.streams", "tombstone") => {
            call_with_one(request, |asked: TombstoneReq| delete::tombstone(engine, asked)).await
        }
        ("event_store.client.gossip.gossip", "read") => {
            call_with_one(request, |_: Empty| async move {
                Ok(Answers::one(&gossip::cluster(node.instance, node.address)))
            })
            .await
        }
        ("event_store.client.server_features.serverfeatures", "getsupportedmethods") => {
            call_with_one(request, |_: Empty| async { Ok(Answers::one(&features::supported())) }).await
        }
        ("event_store.client.operations.operations", "stopscavenge") => {
            call_with_one(request, |_: StopScavengeReq| async { Err(operations::stop_scavenge()) }).await
        }
        ("event_store.client.operations.operations", "setnodepriority") => {
            call_with_one(request, |_: SetNodePriorityReq| async { Ok(operations::nothing_to_do()) }).await
        }
        ("event_store.client.operations.operations", "mergeindexes" | "restartpersistentsubscriptions") => {
            call_with_one(request, |_: Empty| async { Ok(operations::nothing_to_do()) }).await
        }
        (service, _) => {
            let what = if SERVICES.contains(&service) { "Method" } else { "Service" };
            Status::unimplemented(format!("{what} is unimplemented.")).into_http()
        }
    }
}

fn is_grpc(request: &Request<Body>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
