//! Streams by plain HTTP, as far as scripts use them: an event is read, events are appended.
//!
//! - `GET /streams/STREAM/N`: the data of an event, if it is JSON
//! - `GET /streams/STREAM`: which events there are, in JSON
//! - `POST /streams/STREAM`: appends one event, whose type and id are in the headers `ES-EventType` and `ES-EventId`

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use store_core::{
    Answer, Command, Direction, Expected, Fault, Found, MAX_APPEND, NewEvent, PageSize, Record, Right,
    StreamRead,
};
use tonic::body::Body;
use uuid::Uuid;

use crate::access::Identity;
use crate::node::Node;
use crate::plain::{JSON, TEXT, text, with_status};

/// What begins the path of every stream.
pub const STREAMS: &str = "/streams/";
/// How many events are listed.
const LISTED: usize = 20;

/// Answers a request for a stream; `body` is what was sent with it.
pub async fn answer(node: &Arc<Node>, identity: &Identity, request: &Parts, body: Bytes) -> Response<Body> {
    let path = request.uri.path().strip_prefix(STREAMS).unwrap_or_default();
    let (stream, number) = match path.split_once('/') {
        Some((stream, number)) => (stream, Some(number)),
        None => (path, None),
    };
    let stream = percent_decode_str(stream).decode_utf8_lossy().into_owned();
    if stream.is_empty() {
        return with_status(StatusCode::NOT_FOUND);
    }
    let right = if request.method == Method::POST { Right::Write } else { Right::Read };
    if identity.allow(&node.engine, &stream, right).await.is_err() {
        return with_status(StatusCode::UNAUTHORIZED);
    }
    match (&request.method, number) {
        (&Method::GET | &Method::HEAD, Some(number)) => read(node, stream, number).await,
        (&Method::GET | &Method::HEAD, None) => list(node, stream).await,
        (&Method::POST, None) => append(node, stream, request, body).await,
        _ => with_status(StatusCode::METHOD_NOT_ALLOWED),
    }
}

async fn events(node: &Arc<Node>, stream: String, from: u64, count: usize) -> Result<Vec<Record>, Fault> {
    let found = node.engine.read(move |store, now| {
        let (direction, size) = (Direction::Backwards, PageSize::events(count));
        let read = StreamRead { name: &stream, from, direction, size, resolve: false, unlimited: false };
        store.read_stream(&read, now)
    });
    Ok(match found.await? {
        Found::Stream(found) => found.page.events.into_iter().filter_map(|pair| pair.event).collect(),
        Found::Missing => Vec::new(),
    })
}

async fn read(node: &Arc<Node>, stream: String, number: &str) -> Response<Body> {
    let from = match (number, number.parse::<u64>()) {
        ("head", _) => u64::MAX,
        (_, Ok(number)) if number <= store_core::LAST_REVISION => number,
        _ => return with_status(StatusCode::BAD_REQUEST),
    };
    match events(node, stream, from, 1).await.map(|found| found.into_iter().next()) {
        // Backwards from beyond the end there is the last one.
        Ok(Some(event)) if from == u64::MAX || event.revision == from => match indented(event.data()) {
            Some(data) if event.json => text(JSON, data.into()),
            _ => with_status(StatusCode::NOT_ACCEPTABLE),
        },
        found => missing(found.map(|_| ())),
    }
}

async fn list(node: &Arc<Node>, stream: String) -> Response<Body> {
    match events(node, stream.clone(), u64::MAX, LISTED).await {
        Ok(found) if !found.is_empty() => {
            let entries = found.iter().map(|event| {
                let title = format!("{}@{stream}", event.revision);
                json!({ "title": title, "summary": event.kind(), "id": format!("{STREAMS}{stream}/{}", event.revision) })
            });
            let feed = json!({
                "title": format!("Event stream '{stream}'"),
                "streamId": stream,
                "headOfStream": true,
                "entries": entries.collect::<Vec<_>>(),
            });
            text(JSON, format!("{feed:#}").into())
        }
        found => missing(found.map(|_| ())),
    }
}

fn missing(found: Result<(), Fault>) -> Response<Body> {
    let (status, said) = match found {
        Ok(()) => (StatusCode::NOT_FOUND, "Not Found"),
        Err(Fault::StreamDeleted(_)) => (StatusCode::GONE, "Gone"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    };
    let mut response = text(TEXT, Bytes::from_static(said.as_bytes()));
    *response.status_mut() = status;
    response
}

async fn append(node: &Arc<Node>, stream: String, request: &Parts, data: Bytes) -> Response<Body> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let json = header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/json"));
    let (Some(kind), false) = (header("es-eventtype").filter(|kind| !kind.is_empty()), data.is_empty())
    else {
        return with_status(StatusCode::BAD_REQUEST);
    };
    let id = match header("es-eventid").map(Uuid::try_parse) {
        Some(Ok(id)) if !id.is_nil() => id,
        Some(_) => return with_status(StatusCode::BAD_REQUEST),
        None => Uuid::new_v4(),
    };
    let expected = match header("es-expectedversion").map(str::parse::<i64>) {
        None | Some(Ok(-2)) => Expected::Any,
        Some(Ok(-1)) => Expected::NoStream,
        Some(Ok(-4)) => Expected::StreamExists,
        Some(Ok(revision)) => match u64::try_from(revision) {
            Ok(revision) => Expected::Revision(revision),
            Err(_) => return with_status(StatusCode::BAD_REQUEST),
        },
        Some(Err(_)) => return with_status(StatusCode::BAD_REQUEST),
    };
    if data.len() + kind.len() >= MAX_APPEND {
        return with_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let event = NewEvent { id: id.as_u128(), kind: kind.to_owned(), json, data, custom: Bytes::new() };
    let command = Command::Append { stream: stream.clone(), expected, events: vec![event] };
    match node.write(command, None, None).await {
        Ok(Answer::Done { revision, .. }) => {
            let mut response = with_status(StatusCode::CREATED);
            let place = format!("{STREAMS}{stream}/{}", revision.unwrap_or_default());
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(LOCATION, place);
            }
            response
        }
        Ok(Answer::Wrong { .. }) => with_status(StatusCode::BAD_REQUEST),
        Err(failed) => missing(Err(failed)),
    }
}

/// JSON with two spaces for each level, its keys in their order; nothing if it is no JSON.
fn indented(data: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(data).ok()?;
    let source = std::str::from_utf8(data).ok()?;
    let mut out = String::with_capacity(source.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut characters = source.chars().peekable();
    while let Some(character) = characters.next() {
        if quoted {
            out.push(character);
            (quoted, escaped) = (escaped || character != '"', !escaped && character == '\\');
            continue;
        }
        match character {
            '"' => {
                quoted = true;
                out.push('"');
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_with_its_keys_in_order_and_what_is_none_is_not() {
        let text = r#"{"b": [1,{"a":"}\"{,:"}], "a":{ },"c":[]}"#;
        let wanted = "{\n  \"b\": [\n    1,\n    {\n      \"a\": \"}\\\"{,:\"\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}";
        assert_eq!(indented(text.as_bytes()).as_deref(), Some(wanted));
        assert_eq!(indented(b"7").as_deref(), Some("7"));
        assert_eq!(indented(b"{"), None);
    }
}
