//! Answers to plain HTTP.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tonic::body::Body;

/// Kinds of what is answered.
pub const JSON: &str = "application/json; charset=utf-8";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer without a body.
pub fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A value in JSON.
pub fn json_of(value: &Value) -> Response<Body> {
    match serde_json::to_vec_pretty(value) {
        Ok(bytes) => text(JSON, bytes.into()),
        Err(_) => with_status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A body of some kind.
pub fn text(kind: &'static str, body: Bytes) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(Body::new(Full::new(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}
