//! The headers and trailers that end a call: a text as gRPC has it, and no more of it than clients take.
//!
//! A real EventStoreDB sends names of any length back. The clients that are in use take a list of headers of 8 KB
//! (Java, and all that stand on gRPC's C core) or 16 KB (hyper); of a longer one they see nothing, not even the status.
//! So a longer list is shortened: first the text, in its middle, as clients look at both of its ends; then fields
//! are left out whole, the longest first, as half a name would be another one. What is left always has the status and
//! the exception.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use tonic::Status;
use tonic::body::Body;

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What tells a call's end; it is never left out.
const KEPT: [&str; 4] = ["content-type", "exception", "grpc-message", "grpc-status"];
/// The size of a list of headers, as HTTP/2 counts it, that every client takes; a little is left for the HTTP status.
const MAX_LIST: usize = 8 * 1024 - 64;
/// What HTTP/2 counts for a header besides its name and value.
const PER_HEADER: usize = 32;
/// A text that would be shorter than this gives way to nothing.
const MIN_TEXT: usize = 512;
/// What is kept of the end of a text.
const TEXT_END: usize = 128;
/// gRPC: everything from space to tilde stands for itself, but for the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The same answer, with an end that every client can read.
pub fn readable(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    settle(&mut parts.headers);
    let body = if body.is_end_stream() { body } else { Body::new(Ending(body)) };
    Response::from_parts(parts, body)
}

/// A body whose trailers are settled.
struct Ending(Body);

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            settle(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn settle(headers: &mut HeaderMap) {
    let Some(message) = headers.get(MESSAGE) else { return };
    let text = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
    headers.insert(MESSAGE, value(&text));
    while size(headers) > MAX_LIST {
        let message = headers.get(MESSAGE).map_or(0, HeaderValue::len);
        let room = (MAX_LIST + message).saturating_sub(size(headers));
        if room >= MIN_TEXT {
            headers.insert(MESSAGE, value(&shortened(&text, room)));
            return;
        }
        match longest(headers) {
            Some(name) => headers.remove(name),
            None => return,
        };
    }
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_HEADER).sum()
}

fn longest(headers: &HeaderMap) -> Option<HeaderName> {
    headers
        .iter()
        .filter(|(name, _)| !KEPT.contains(&name.as_str()))
        .max_by_key(|(_, value)| value.len())
        .map(|(name, _)| name.clone())
}

/// A text as a header; what a header cannot hold is encoded.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(&encoded(text)).unwrap_or(HeaderValue::from_static(""))
}

/// Spaces at the ends are encoded as well: HTTP does not keep them.
fn encoded(text: &str) -> String {
    let plain = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let inner = text.trim_matches(' ');
    let before = text.len() - text.trim_start_matches(' ').len();
    let after = if inner.is_empty() { 0 } else { text.len() - before - inner.len() };
    format!("{}{}{}", "%20".repeat(before), plain(inner), "%20".repeat(after))
}

/// A text whose middle is left out, so that it is no longer than this when it is encoded.
fn shortened(text: &str, room: usize) -> String {
    const GAP: &str = " ... ";
    let cost = |character: &char| {
        let mut buffer = [0; 4];
        encoded(character.encode_utf8(&mut buffer)).len()
    };
    let take = |room: usize, characters: &mut dyn Iterator<Item = char>| {
        let mut left = room;
        characters
            .take_while(|character| {
                let fits = cost(character) <= left;
                left = left.saturating_sub(cost(character));
                fits
            })
            .collect::<Vec<_>>()
    };
    let end = take(TEXT_END, &mut text.chars().rev());
    let begin = take(room.saturating_sub(TEXT_END + GAP.len()), &mut text.chars());
    begin.into_iter().chain(GAP.chars()).chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str) -> HeaderMap {
        let status = crate::fault::stream_deleted(name);
        let mut response = readable(status.into_http());
        std::mem::take(response.headers_mut())
    }

    #[test]
    fn texts_are_encoded_only_where_grpc_asks_for_it() {
        for (text, wanted) in [
            ("Service is unimplemented.", "Service is unimplemented."),
            ("100% \"sure\" <of> {it}? #1 `~^|\\", "100%25 \"sure\" <of> {it}? #1 `~^|\\"),
            ("tab\tline\nend\x7f", "tab%09line%0Aend%7F"),
            ("ä", "%C3%A4"),
            ("  both  ", "%20%20both%20%20"),
            ("   ", "%20%20%20"),
            ("", ""),
        ] {
            let headers = readable(Status::unknown(text).into_http());
            let message = headers.headers().get(MESSAGE).map_or(&b""[..], HeaderValue::as_bytes);
            assert_eq!(String::from_utf8_lossy(message), wanted);
        }
    }

    #[test]
    fn an_end_that_clients_take_is_left_as_it_is() {
        let name = "x".repeat(3_000);
        let headers = ended(&name);
        assert_eq!(headers["grpc-message"], format!("Event stream '{name}' is deleted."));
        assert_eq!(headers["stream-name"], name);
    }

    #[test]
    fn a_longer_one_loses_the_middle_of_its_text_and_then_its_longest_fields() {
        for (length, named) in [(5_000, true), (9_000, false), (60_000, false), (1_000_000, false)] {
            for letter in ["x", "ä", "%", "😀"] {
                let name = letter.repeat(length / letter.len());
                let headers = ended(&name);
                assert!(size(&headers) <= MAX_LIST, "{length} {letter}");
                assert_eq!(headers["grpc-status"], "9");
                assert_eq!(headers["exception"], "stream-deleted");
                let text =
                    percent_decode(headers["grpc-message"].as_bytes()).decode_utf8().unwrap().into_owned();
                assert!(text.starts_with(&format!("Event stream '{letter}")), "{text}");
                assert!(text.ends_with(&format!("{letter}' is deleted.")), "{text}");
                assert_eq!(headers.get("stream-name").is_some(), named, "{length} {letter}");
                assert!(headers.get("stream-name").is_none_or(|value| value.as_bytes() == name.as_bytes()));
            }
        }
    }
}
