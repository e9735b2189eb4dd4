//! From a request's path to a method.

use std::sync::Arc;

use http::{Request, Response, StatusCode, Version, header};
use tonic::Status;
use tonic::body::Body;
use uuid::Uuid;
use wire::proto::Empty;
use wire::proto::operations::{SetNodePriorityReq, StopScavengeReq};
use wire::proto::persistent_subscriptions::{
    DeleteReq as DeleteGroupReq, GetInfoReq, ListReq, ReadReq as ConsumeReq, ReplayParkedReq, UpdateReq,
};
use wire::proto::streams::{AppendReq, BatchAppendReq, DeleteReq, ReadReq, TombstoneReq};

use crate::allowance::Room;
use crate::calls::{Answers, call, call_with_one};
use crate::engine::Engine;
use crate::panics::guarded;
use crate::requests::{Requests, Watched};
use crate::{append, batch, delete, ending, fault, features, gossip, groups, operations, read, web};

/// What every call may need.
pub struct Node {
    /// The store.
    pub engine: Arc<Engine>,
    /// The server's own id.
    pub instance: Uuid,
    /// The host and port at which the server is to be found.
    pub address: (String, u16),
    /// What the requests of all connections may take.
    pub room: Room,
}

const SERVICES: [&str; 4] = [
    "event_store.client.streams.streams",
    "event_store.client.gossip.gossip",
    "event_store.client.operations.operations",
    "event_store.client.server_features.serverfeatures",
];

/// Answers any request. A panic on the way is an answer as well.
pub async fn answer(node: Arc<Node>, request: Request<Watched>) -> Response<Body> {
    if !is_grpc(&request) {
        let (parts, _) = request.into_parts();
        return guarded(web::answer(&node, &parts)).await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "a request failed");
            web::with_status(StatusCode::INTERNAL_SERVER_ERROR)
        });
    }
    let answered = guarded(route(node, request)).await;
    ending::readable(answered.unwrap_or_else(|panicked| fault::panicked(&panicked).into_http()))
}

async fn route(node: Arc<Node>, request: Request<Watched>) -> Response<Body> {
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
            call_with_one(request, |_: Empty| async move { Ok(Answers::one(&gossip::cluster(&node))) }).await
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
        ("event_store.client.persistent_subscriptions.persistentsubscriptions", method) => {
            route_to_groups(method, request).await
        }
        (service, _) => unimplemented(if SERVICES.contains(&service) { "Method" } else { "Service" }),
    }
}

async fn route_to_groups(method: &str, request: Request<Watched>) -> Response<Body> {
    match method {
        "delete" => {
            call_with_one(request, |asked: DeleteGroupReq| async { Err(groups::delete(asked)) }).await
        }
        "getinfo" => call_with_one(request, |asked: GetInfoReq| async { Err(groups::info(asked)) }).await,
        "list" => call_with_one(request, |asked: ListReq| async { Err(groups::list(asked)) }).await,
        "read" => call(request, |requests: Requests<ConsumeReq>| groups::read(requests)).await,
        "replayparked" => {
            call_with_one(request, |asked: ReplayParkedReq| async { Err(groups::replay_parked(asked)) }).await
        }
        "restartsubsystem" => {
            call_with_one(request, |_: Empty| async { Ok(operations::nothing_to_do()) }).await
        }
        "update" => call_with_one(request, |asked: UpdateReq| async { Err(groups::update(asked)) }).await,
        _ => unimplemented("Method"),
    }
}

fn unimplemented(what: &str) -> Response<Body> {
    Status::unimplemented(format!("{what} is unimplemented.")).into_http()
}

fn is_grpc(request: &Request<Watched>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
