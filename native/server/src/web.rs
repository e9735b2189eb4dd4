//! The few plain HTTP requests that start scripts and monitors make.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use tonic::body::Body;

/// Answers a request that is not gRPC.
pub fn answer(path: &str) -> Response<Body> {
    let status = match path {
        "/health/live" => StatusCode::NO_CONTENT,
        "/ping" => return json(r#"{"text":"Ping request successfully handled"}"#.into()),
        _ => StatusCode::NOT_FOUND,
    };
    with_status(status)
}

/// An answer without a body.
pub fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn json(text: Bytes) -> Response<Body> {
    let length = text.len();
    let mut response = Response::new(Body::new(tonic_body(text)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    response
}

fn tonic_body(text: Bytes) -> http_body_util::Full<Bytes> {
    http_body_util::Full::new(text)
}
