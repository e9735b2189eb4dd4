//! What a server, or somebody in its place, may answer to a subscription: what is tried again and what is final.

#![allow(clippy::expect_used)]

mod support;

use std::time::Duration;

use h2::Reason;
use reader_core::{Start, State};
use support::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const PAGE: Say = Say::Head(502, "text/html");

/// Confirmation and the events 0 and 1, in one frame.
fn two() -> Vec<Say> {
    vec![GRPC, Say::Data([confirmation(), event_at(0), event_at(1)].concat())]
}

fn after_two(end: Say) -> Vec<Say> {
    two().into_iter().chain([end]).collect()
}

fn page(status: u16) -> Vec<Say> {
    vec![Say::Head(status, "text/html"), Say::Data(b"<html>Not now".to_vec()), Say::End]
}

/// What goes well in the end.
fn rest() -> Vec<Say> {
    vec![GRPC, Say::Data([confirmation(), event_at(2), caught_up()].concat()), Say::Silence]
}

#[tokio::test]
async fn what_the_road_does_to_a_call_is_followed_by_another_one_that_loses_nothing() {
    let cut = framed(&[0x0A, 60]).split_at(6).0.to_vec();
    for (what, wrong) in [
        ("a reset without an error", after_two(Say::Reset(Reason::NO_ERROR))),
        ("a reset that cancels", after_two(Say::Reset(Reason::CANCEL))),
        ("a reset for a fault", after_two(Say::Reset(Reason::INTERNAL_ERROR))),
        ("a reset for a broken rule", after_two(Say::Reset(Reason::PROTOCOL_ERROR))),
        ("a reset by a server that is full", after_two(Say::Reset(Reason::ENHANCE_YOUR_CALM))),
        ("an end without trailers", after_two(Say::End)),
        ("an end without a status", after_two(Say::Trailers(vec![("server", "proxy".into())]))),
        ("an end that is no end of a subscription", after_two(ok())),
        ("an end within a message", two().into_iter().chain([Say::Data(cut.clone()), ok()]).collect()),
        (
            "an end within a message, without trailers",
            two().into_iter().chain([Say::Data(cut), Say::End]).collect(),
        ),
        ("unavailable", after_two(status(14))),
        ("cancelled", after_two(status(1))),
        ("deadline exceeded", after_two(status(4))),
        ("resource exhausted", after_two(status(8))),
        ("a fault of the server", after_two(status(2))),
        ("an internal fault of the server", after_two(status(13))),
    ] {
        let address = answerer(vec![wrong, rest()]).await;
        let mut running = subscribe(&connection(address), "s", Start::Beginning);
        assert_eq!(running.events_until(1).await, [0, 1], "{what}");
        assert_eq!(running.next().await, Given::Dropped, "{what}");
        assert_eq!(running.next().await, Given::Taken(Some(1)), "{what}");
        assert_eq!(running.events_until(2).await, [2], "{what}");
        running.until(Given::State(State::Subscribed)).await;
    }
}

#[tokio::test]
async fn what_is_answered_in_a_servers_place_is_asked_again_when_it_says_not_now() {
    for (what, wrong) in [
        ("408", page(408)),
        ("425", page(425)),
        ("429", page(429)),
        ("500", page(500)),
        ("502", page(502)),
        ("503", page(503)),
        ("504", page(504)),
        ("503 without a page", vec![Say::Head(503, "text/html"), Say::End]),
        ("502 and a reset", vec![PAGE, Say::Reset(Reason::NO_ERROR)]),
        ("503 that calls itself gRPC", vec![Say::Head(503, "application/grpc"), Say::End]),
        ("refused", vec![Say::Reset(Reason::REFUSED_STREAM)]),
        ("a connection that goes away", vec![Say::GoAway(Reason::NO_ERROR)]),
        ("a connection that goes away for a fault", vec![Say::GoAway(Reason::INTERNAL_ERROR)]),
    ] {
        let good = vec![GRPC, Say::Data([confirmation(), event_at(0)].concat()), Say::Silence];
        let address = answerer(vec![wrong, good]).await;
        let mut running = subscribe(&connection(address), "s", Start::Beginning);
        assert_eq!(running.next().await, Given::Dropped, "{what}");
        assert_eq!(running.events_until(0).await, [0], "{what}");
        let error = running.error().to_string();
        assert!(error.contains(&address.to_string()), "{what}: {error}");
    }
}

#[tokio::test]
async fn what_the_server_judges_is_final() {
    let named = |exception: &str| {
        Say::Trailers(vec![
            ("grpc-status", "9".into()),
            ("exception", exception.into()),
            ("stream-name", "s".into()),
        ])
    };
    for (what, wrong, reason) in [
        ("invalid argument", after_two(status(3)), "invalid_argument"),
        ("permission denied", after_two(status(7)), "access_denied"),
        ("unimplemented", after_two(status(12)), "unimplemented"),
        ("unauthenticated", after_two(status(16)), "unauthenticated"),
        ("a tombstone", after_two(named("stream-deleted")), "stream_deleted"),
        ("access denied", after_two(named("access-denied")), "access_denied"),
        ("a page that is there", page(200), "protocol"),
        ("a page that is not there", page(404), "protocol"),
        ("a page for a browser", page(415), "protocol"),
        ("a page that is elsewhere", page(302), "protocol"),
    ] {
        let address = answerer(vec![wrong, rest()]).await;
        let mut running = subscribe(&connection(address), "s", Start::Beginning);
        running.until(Given::Stopped(reason)).await;
        assert!(!running.error().retryable(), "{what}");
    }
}

#[tokio::test]
async fn what_comes_before_a_message_that_cannot_be_decoded_is_given_and_then_it_stops_by_name() {
    for (wrong, text) in [
        (framed(&[0xFF, 0xFF]), "cannot be decoded: malformed message"),
        (framed(&[0x0A, 0]), "without an event or a link"),
        (framed(&[0x0A, 9, 1]), "longer than its message"),
        (b"<html>".to_vec(), "the flag 60"),
    ] {
        let bytes = [confirmation(), event_at(0), event_at(1), wrong, event_at(2)].concat();
        let address = answerer(vec![vec![GRPC, Say::Data(bytes), Say::Silence]]).await;
        let mut running = subscribe(&connection(address), "s", Start::Beginning);
        assert_eq!(running.events_until(1).await, [0, 1]);
        assert_eq!(running.next().await, Given::Stopped("protocol"));
        let error = running.error().to_string();
        assert!(error.contains("the message after revision 1") && error.contains(text), "{error}");
    }
}

#[tokio::test]
async fn an_event_over_the_limit_stops_the_subscription_by_its_revision_and_the_limit() {
    let large = framed(&[0; 2012]);
    let bytes = [confirmation(), event_at(3), event_at(4), large].concat();
    let address = answerer(vec![vec![GRPC, Say::Data(bytes), Say::Silence]]).await;
    let wanted = client::Subscription { max_message_size: 1024, ..wanted("s", Start::After(2)) };
    let mut running = subscribe_to(&connection(address), wanted, Semaphore::MAX_PERMITS);
    assert_eq!(running.events_until(4).await, [3, 4]);
    assert_eq!(running.next().await, Given::Stopped("message_too_large"));
    let error = running.error().to_string();
    let expected = "the message after revision 4 has 2012 bytes; the limit, max_message_size, is 1024 bytes";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn the_limit_is_17_mebibytes_by_default_and_seen_before_anything_of_the_message() {
    let head = [&[0_u8][..], &18_350_080_u32.to_be_bytes()].concat();
    let bytes = [confirmation(), event_at(0), head].concat();
    let address = answerer(vec![vec![GRPC, Say::Data(bytes), Say::Silence]]).await;
    let mut running = subscribe(&connection(address), "s", Start::Beginning);
    running.until(Given::Stopped("message_too_large")).await;
    let error = running.error().to_string();
    assert!(error.contains("after revision 0") && error.contains("is 17825792 bytes"), "{error}");
}

#[tokio::test]
async fn the_reason_survives_a_name_of_60_thousand_bytes() {
    let name = "x".repeat(60_000);
    let refusal = Say::Trailers(vec![
        ("grpc-status", "9".into()),
        ("grpc-message", format!("Event stream '{name}' is deleted.")),
        ("exception", "stream-deleted".into()),
        ("stream-name", name),
    ]);
    let address = answerer(vec![vec![GRPC, refusal]]).await;
    let mut running = subscribe(&connection(address), "s", Start::Beginning);
    assert_eq!(running.next().await, Given::Stopped("stream_deleted"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_pings_is_named_with_the_time_it_had() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move { while matches!(socket.read(&mut [0; 1024]).await, Ok(1..)) {} });
        }
    });
    let connection = connection_with(address, "&keepAliveInterval=100&keepAliveTimeout=100");
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.next().await, Given::Dropped);
    let expected = format!("the server is not available: {address}: no answer to a ping within 100 ms");
    assert_eq!(running.error().to_string(), expected);
}

#[tokio::test]
async fn a_server_that_takes_a_subscription_and_is_silent_is_named() {
    let address = answerer(vec![vec![GRPC, Say::Silence]]).await;
    let wanted =
        client::Subscription { patience: Duration::from_millis(50), ..wanted("s", Start::Beginning) };
    let mut running = subscribe_to(&connection(address), wanted, Semaphore::MAX_PERMITS);
    assert_eq!(running.next().await, Given::Dropped);
    let error = running.error().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("within 50 ms"), "{error}");
}
