//! The plain HTTP requests that start scripts and monitors make.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::body::Body;

use crate::access::{Identity, Unknown};
use crate::caller::Caller;
use crate::features::VERSION;
use crate::node::Node;
use crate::plain::{TEXT, json_of, text, with_status};
use crate::requests::Watched;
use crate::{atom, gossip, orders};

/// The longest body that is read.
const LONGEST: usize = store_core::MAX_APPEND;
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a request that is not gRPC.
pub async fn answer(node: &Arc<Node>, request: Request<Watched>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if path.starts_with("/event_store.client.") && parts.method == Method::POST {
        return with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let identity = match identity(node, &parts).await {
        Ok(identity) => identity,
        Err(refused) => return refused,
    };
    if path.starts_with(atom::STREAMS) {
        return match Limited::new(body, LONGEST).collect().await {
            Ok(body) => atom::answer(node, &identity, &parts, body.to_bytes()).await,
            Err(_) => with_status(StatusCode::PAYLOAD_TOO_LARGE),
        };
    }
    if path.starts_with("/admin/") {
        return administer(node, &identity, &parts);
    }
    known(node, &parts).await
}

/// Who asks.
async fn identity(node: &Arc<Node>, request: &Parts) -> Result<Identity, Response<Body>> {
    let Some(users) = &node.users else { return Ok(Identity::Anybody) };
    let caller = Caller::of(&request.headers, Instant::now());
    users.identify(&node.engine, &caller.user).await.map_err(|unknown| match unknown {
        Unknown::Unreadable => with_status(StatusCode::INTERNAL_SERVER_ERROR),
        Unknown::Wrong => unauthorized(),
        Unknown::Failed(_) => with_status(StatusCode::SERVICE_UNAVAILABLE),
    })
}

fn unauthorized() -> Response<Body> {
    let mut response = with_status(StatusCode::UNAUTHORIZED);
    let asked = HeaderValue::from_static("Basic realm=\"ES\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, asked);
    response
}

/// What operators tell a node.
fn administer(node: &Arc<Node>, identity: &Identity, request: &Parts) -> Response<Body> {
    if !matches!(request.uri.path(), "/admin/node/resign" | "/admin/shutdown") {
        return with_status(StatusCode::NOT_FOUND);
    }
    if request.method != Method::POST {
        return with_status(StatusCode::METHOD_NOT_ALLOWED);
    }
    if identity.operates().is_err() {
        return unauthorized();
    }
    match (request.uri.path(), &node.seat) {
        ("/admin/shutdown", _) => {
            orders::stop(&node.orders);
        }
        (_, Some(seat)) => seat.resign(),
        // A single node goes on to lead.
        (_, None) => {}
    }
    with_status(StatusCode::OK)
}

/// What scripts and monitors look at.
async fn known(node: &Arc<Node>, request: &Parts) -> Response<Body> {
    let path = request.uri.path();
    let known = matches!(
        path,
        "/" | "/web"
            | "/health/live"
            | "/ping"
            | "/info"
            | "/info/options"
            | "/gossip"
            | "/stats"
            | "/metrics"
    );
    if !known {
        return with_status(StatusCode::NOT_FOUND);
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        return with_status(StatusCode::METHOD_NOT_ALLOWED);
    }
    match path {
        "/health/live" => with_status(live_code(request.uri.query())),
        "/ping" => json_of(&json!({ "text": "Ping request successfully handled", "label": "Http" })),
        "/info" => json_of(&info(node)),
        "/info/options" => json_of(&json!([])),
        "/gossip" => json_of(&gossip(node).await),
        "/stats" => json_of(&stats(node).await),
        "/metrics" => text(METRICS, format!("penstock_log_bytes {}\n", node.engine.head().await).into()),
        _ => moved_to_ping(),
    }
}

/// A script may say which status it takes for "alive".
fn live_code(query: Option<&str>) -> StatusCode {
    query
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("liveCode=")))
        .and_then(|code| code.parse::<StatusCode>().ok())
        .unwrap_or(StatusCode::NO_CONTENT)
}

fn info(node: &Arc<Node>) -> Value {
    let secure = node.users.is_some();
    json!({
        "esVersion": VERSION,
        "state": gossip::state(node).as_str_name().to_ascii_lowercase(),
        "features": { "projections": node.projects, "userManagement": secure, "atomPub": true },
        "authentication": { "type": if secure { "internal" } else { "insecure" }, "properties": [] },
    })
}

async fn gossip(node: &Arc<Node>) -> Value {
    let ((server, server_port), head) = (&node.address, node.engine.head().await);
    let members = gossip::members(node).into_iter().map(|member| {
        let (host, port) = member.address;
        json!({
            "instanceId": member.instance.to_string(),
            "timeStamp": iso_time(member.seen),
            "state": member.state.as_str_name(),
            "isAlive": member.alive,
            "internalTcpIp": host,
            "internalTcpPort": 0,
            "internalSecureTcpPort": 0,
            "externalTcpIp": host,
            "externalTcpPort": 0,
            "externalSecureTcpPort": 0,
            "internalHttpEndPointIp": host,
            "internalHttpEndPointPort": port,
            "httpEndPointIp": host,
            "httpEndPointPort": port,
            "lastCommitPosition": head,
            "writerCheckpoint": head,
            "chaserCheckpoint": head,
            "epochPosition": 0,
            "epochNumber": 0,
            "epochId": member.instance.to_string(),
            "nodePriority": 0,
            "isReadOnlyReplica": false,
            "esVersion": VERSION,
        })
    });
    json!({
        "members": members.collect::<Vec<_>>(),
        "serverIp": server,
        "serverPort": server_port,
    })
}

async fn stats(node: &Arc<Node>) -> Value {
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "proc": { "id": std::process::id() },
        "sys": { "cores": parallelism },
        "es": { "writer": { "head": node.engine.head().await } },
    })
}

/// A moment in ISO 8601, from ticks of 100 ns since 1970.
fn iso_time(ticks: u64) -> String {
    let (seconds, fraction) = (ticks / 10_000_000, ticks % 10_000_000);
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // The civil date of a day number, in years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:07}Z")
}

/// There are no pages; a browser is shown that the server is there.
fn moved_to_ping() -> Response<Body> {
    let mut response = text(TEXT, Bytes::new());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/ping"));
    response
}

#[cfg(test)]
mod tests {
    use super::iso_time;

    #[test]
    fn moments_are_written_as_iso_8601_has_them() {
        assert_eq!(iso_time(0), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(iso_time(9_516_959_990_000_001), "2000-02-27T23:59:59.0000001Z");
        assert_eq!(iso_time(17_091_648_000_000_000), "2024-02-29T00:00:00.0000000Z");
    }
}
