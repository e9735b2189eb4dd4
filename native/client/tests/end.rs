//! Where a stream ends: for those who begin there, and for those whose position is beyond it.

#![allow(clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use client::{OnBeyond, Subscription};
use reader_core::Position::Revision;
use reader_core::{Beyond, Start, State};
use support::*;
use tokio::sync::Semaphore;
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{DeleteReq, delete_req};
use wire::proto::{Empty, StreamIdentifier};

/// The subscription that follows the search.
fn live() -> Vec<Say> {
    vec![GRPC, Say::Data([confirmation(), caught_up()].concat()), Say::Silence]
}

fn impatient(stream: &str, from: Start) -> Subscription {
    Subscription { patience: Duration::from_millis(200), ..wanted(stream, from) }
}

#[tokio::test]
async fn a_search_for_the_end_that_says_nothing_of_it_is_made_again_and_nothing_is_replayed() {
    for (what, wrong) in [
        ("headers and then nothing", vec![GRPC, Say::Silence]),
        ("not even headers", vec![Say::Silence]),
        ("an event and no end", vec![GRPC, Say::Data(event_at(7)), Say::Silence]),
        ("an empty answer", vec![GRPC, ok()]),
        ("what cannot be decoded", vec![GRPC, Say::Data(framed(&[0xFF, 0xFF])), ok()]),
        ("an event that cannot be decoded", vec![GRPC, Say::Data(framed(&[0x0A, 0])), ok()]),
        ("an event and an end without trailers", vec![GRPC, Say::Data(event_at(7)), Say::End]),
        ("an event that is cut", vec![GRPC, Say::Data(event_at(7).into_iter().take(8).collect()), ok()]),
        ("a gateway's page", vec![Say::Head(502, "text/html"), Say::End]),
        ("a message of a newer server", vec![GRPC, Say::Data(framed(&[82, 0])), ok()]),
    ] {
        let good = vec![GRPC, Say::Data([event_at(7), last_position(7)].concat()), ok()];
        let address = answerer(vec![wrong, good, live()]).await;
        let wanted = impatient("s", Start::End);
        let mut running = subscribe_to(&connection(address), wanted, Semaphore::MAX_PERMITS);
        assert_eq!(running.next().await, Given::Dropped, "{what}");
        let error = running.error().to_string();
        assert!(error.contains(&address.to_string()), "{what}: {error}");
        assert_eq!(running.next().await, Given::Located(Some(7)), "{what}");
        assert_eq!(running.next().await, Given::Taken(Some(7)), "{what}");
        running.until(Given::State(State::Subscribed)).await;
    }
}

#[tokio::test]
async fn the_end_of_a_stream_whose_events_are_all_truncated_is_its_last_revision() {
    let address = answerer(vec![vec![GRPC, Say::Data(last_position(7)), ok()], live()]).await;
    let mut running = subscribe(&connection(address), "s", Start::End);
    assert_eq!(running.next().await, Given::Located(Some(7)));
}

#[tokio::test]
async fn the_end_of_a_missing_stream_is_its_beginning() {
    let address = answerer(vec![vec![GRPC, Say::Data(not_found()), ok()], live()]).await;
    let mut running = subscribe(&connection(address), "s", Start::End);
    assert_eq!(running.next().await, Given::Located(None));
    assert_eq!(running.next().await, Given::Taken(None));
}

#[tokio::test]
async fn a_tombstone_at_the_end_is_final() {
    let deleted = Say::Trailers(vec![
        ("grpc-status", "9".into()),
        ("exception", "stream-deleted".into()),
        ("stream-name", "s".into()),
    ]);
    let address = answerer(vec![vec![GRPC, deleted]]).await;
    let mut running = subscribe(&connection(address), "s", Start::End);
    assert_eq!(running.next().await, Given::Stopped("stream_deleted"));
}

#[tokio::test]
async fn a_stream_that_ends_before_the_position_is_told_and_waited_for() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    let mut running = subscribe(&connection, "s", Start::After(4));
    running.until(Given::Beyond(Some(Beyond { position: Revision(4), last: Some(Revision(2)) }))).await;
    fill(&connection, "s", 4).await;
    assert_eq!(running.events_until(6).await, [5, 6]);
}

#[tokio::test]
async fn a_stream_that_is_gone_is_told_and_waited_for() {
    let server = server().await;
    let mut running = subscribe(&connection(server.local_addr()), "s", Start::After(0));
    running.until(Given::Beyond(Some(Beyond { position: Revision(0), last: None }))).await;
}

#[tokio::test]
async fn a_position_beyond_the_end_stops_the_subscription_that_wants_it_so() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    let wanted = Subscription { on_beyond: OnBeyond::Stop, ..wanted("s", Start::After(4)) };
    let mut running = subscribe_to(&connection, wanted, Semaphore::MAX_PERMITS);
    running.until(Given::Stopped("position_beyond_end")).await;
    let expected = "the stream \"s\" ends at revision 2, which is before position 4";
    assert_eq!(running.error().to_string(), expected);
}

#[tokio::test]
async fn a_server_that_came_back_empty_is_found_out_on_the_way() {
    let first = server().await;
    let address = first.local_addr();
    fill(&connection(address), "s", 3).await;
    let mut running = subscribe(&connection(address), "s", Start::Beginning);
    running.until(Given::State(State::Subscribed)).await;
    first.shutdown().await;
    let _second = server_at_once_free(address).await;
    running.until(Given::Beyond(Some(Beyond { position: Revision(2), last: None }))).await;
}

/// The port of a server that stopped is free a moment later.
async fn server_at_once_free(address: SocketAddr) -> server::Server {
    loop {
        let options = server::Options::new(address, server::Storage::Memory);
        if let Ok(server) = server::Server::start(options).await {
            return server;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_at_the_position_is_not_shorter_than_it() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    let mut running = subscribe(&connection, "s", Start::After(2));
    running.until(Given::Beyond(None)).await;
    fill(&connection, "s", 1).await;
    assert_eq!(running.events_until(3).await, [3]);
}

#[tokio::test]
async fn a_stream_that_was_deleted_goes_on_where_it_was_and_is_not_shorter() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    delete(server.local_addr(), "s").await;
    let wanted = Subscription { on_beyond: OnBeyond::Stop, ..wanted("s", Start::After(2)) };
    let mut running = subscribe_to(&connection, wanted, Semaphore::MAX_PERMITS);
    running.until(Given::State(State::Subscribed)).await;
    fill(&connection, "s", 2).await;
    assert_eq!(running.events_until(4).await, [3, 4]);
}

async fn delete(server: SocketAddr, stream: &'static str) {
    let mut client = StreamsClient::connect(format!("http://{server}")).await.expect("connected");
    let options = delete_req::Options {
        stream_identifier: Some(StreamIdentifier { stream_name: stream.into() }),
        expected_stream_revision: Some(delete_req::options::ExpectedStreamRevision::Any(Empty {})),
    };
    client.delete(DeleteReq { options: Some(options) }).await.expect("deleted");
}
