//! Subscriptions to the embedded server, through everything that can happen on the way.

#![allow(clippy::expect_used)]

mod support;

use reader_core::{Start, State};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{TombstoneReq, tombstone_req};
use wire::proto::{Empty, StreamIdentifier};

#[tokio::test]
async fn it_reads_what_is_there_and_then_what_is_appended() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.next().await, Given::Taken(None));
    assert_eq!(running.next().await, Given::State(State::Reading));
    for revision in 0..3 {
        assert_eq!(running.next().await, Given::Event(revision));
    }
    assert_eq!(running.next().await, Given::State(State::Subscribed));
    fill(&connection, "s", 2).await;
    assert_eq!(running.events_until(4).await, [3, 4]);
}

#[tokio::test]
async fn a_position_is_exclusive_and_revision_zero_is_one() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 4).await;
    assert_eq!(subscribe(&connection, "s", Start::After(0)).events_until(3).await, [1, 2, 3]);
    assert_eq!(subscribe(&connection, "s", Start::After(2)).events_until(3).await, [3]);
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_waited_for() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let mut running = subscribe(&connection, "later", Start::Beginning);
    running.until(Given::State(State::Subscribed)).await;
    fill(&connection, "later", 2).await;
    assert_eq!(running.events_until(1).await, [0, 1]);
}

#[tokio::test]
async fn the_end_is_where_it_was_when_the_subscription_began() {
    let server = server().await;
    let direct = connection(server.local_addr());
    let road = Road::to(server.local_addr()).await;
    fill(&direct, "s", 3).await;
    let mut running = subscribe(&connection(road.address), "s", Start::End);
    running.until(Given::State(State::Subscribed)).await;
    road.cut();
    fill(&direct, "s", 2).await;
    assert_eq!(running.events_until(4).await, [3, 4]);
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    const LAST: u64 = 19_999;
    let server = server().await;
    let direct = connection(server.local_addr());
    let road = Road::to(server.local_addr()).await;
    for _ in 0..20 {
        fill(&direct, "s", 1000).await;
    }
    let mut running = subscribe(&connection(road.address), "s", Start::Beginning);
    let mut events = Vec::new();
    while events.last() != Some(&LAST) {
        if let Given::Event(revision) = running.next().await {
            if revision % 1000 == 500 {
                road.cut();
            }
            events.push(revision);
        }
    }
    assert_eq!(events, (0..=LAST).collect::<Vec<_>>());
    road.cut();
    fill(&direct, "s", 1).await;
    assert_eq!(running.events_until(LAST + 1).await, [LAST + 1]);
    assert!(running.outlet.counts.borrow().reconnects >= 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let address = {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        taken.local_addr().expect("bound")
    };
    let connection = connection(address);
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.next().await, Given::Dropped);
    let _server = server_at(address).await;
    fill(&connection, "s", 1).await;
    assert_eq!(running.events_until(0).await, [0]);
}

#[tokio::test]
async fn a_sink_without_room_is_given_no_more() {
    let server = server().await;
    let connection = connection(server.local_addr());
    for _ in 0..20 {
        fill(&connection, "s", 1000).await;
    }
    let mut running = subscribe_with_room(&connection, "s", Start::Beginning, 3);
    // three batches have room, and a fourth is put before room is asked for
    running.outlet.counts.subscribe().changed().await.expect("it counts");
    while running.outlet.rooms.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let mut given = 0;
    while let Ok(Some(one)) =
        tokio::time::timeout(std::time::Duration::from_millis(200), running.given.recv()).await
    {
        given += usize::from(matches!(one, Given::Event(_)));
    }
    assert!((1..=4 * 250).contains(&given), "{given} events were given");
    running.outlet.rooms.add_permits(100_000);
    assert_eq!(running.events_until(19_999).await.len() + given, 20_000);
}

#[tokio::test]
async fn a_tombstone_stops_the_subscription_by_its_name() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 1).await;
    let mut running = subscribe(&connection, "s", Start::Beginning);
    running.until(Given::State(State::Subscribed)).await;
    tombstone(server.local_addr(), "s").await;
    running.until(Given::Stopped("stream_deleted")).await;
    let refused = append(&connection, "s", vec![event(b"{}")]).await.expect_err("refused");
    assert_eq!((refused.error.reason(), refused.may_be_written), ("stream_deleted", false));
}

async fn tombstone(server: std::net::SocketAddr, stream: &'static str) {
    let mut client = StreamsClient::connect(format!("http://{server}")).await.expect("connected");
    let options = tombstone_req::Options {
        stream_identifier: Some(StreamIdentifier { stream_name: stream.into() }),
        expected_stream_revision: Some(tombstone_req::options::ExpectedStreamRevision::Any(Empty {})),
    };
    client.tombstone(TombstoneReq { options: Some(options) }).await.expect("tombstoned");
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_from_the_start_is_named_and_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let connection = connection(listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 64];
            let Ok(1..) = socket.read(&mut asked).await else { continue };
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
            // closing with something unread would reset the connection, and the answer with it
            socket.read_to_end(&mut Vec::new()).await.ok();
        }
    });
    let mut running = subscribe(&connection, "s", Start::Beginning);
    for _ in 0..2 {
        assert_eq!(running.next().await, Given::Dropped);
        assert!(running.error().to_string().contains("it answered \"HTTP/1.1 400 Bad Request\""));
    }
}
