//! A client of a server that is made to misbehave by its handle.

#![allow(clippy::expect_used)]

mod support;

use std::time::Duration;

use client::{Direction, Expectation, From, MAX_MESSAGE_SIZE, Read, ReadLimits, Time, What, read_events};
use reader_core::{Start, State};
use server::{Injection, Options, Server, Storage};
use support::*;

const APPEND: &str = "/event_store.client.streams.Streams/Append";
const READ: &str = "/event_store.client.streams.Streams/Read";

fn refuse(code: tonic::Code) -> Injection {
    Injection::Refuse(tonic::Status::new(code, "on purpose"))
}

async fn count(connection: &client::Connection, stream: &str) -> Option<usize> {
    let what = What::Stream { name: stream.to_owned().into(), from: From::Start };
    let read = Read { what, direction: Direction::Forwards, count: 100, resolve_links: true };
    let limits = ReadLimits { message: MAX_MESSAGE_SIZE, page: None, timeout: None };
    read_events(connection, &read, limits).await.expect("read").map(|page| page.events.len())
}

#[tokio::test]
async fn a_subscription_whose_connection_is_dropped_goes_on_where_it_was_and_new_connections_are_taken() {
    let server = server().await;
    let control = server.control();
    let connection = connection(server.local_addr());
    fill(&connection, "s", 3).await;
    let mut running = subscribe(&connection, "s", Start::Beginning);
    running.until(Given::State(State::Subscribed)).await;
    for last in [4, 6, 8] {
        control.drop_connections();
        running.until(Given::Dropped).await;
        fill(&connection_with(server.local_addr(), ""), "s", 2).await;
        assert_eq!(running.events_until(last).await, [last - 1, last]);
    }
}

#[tokio::test]
async fn the_next_calls_of_a_method_are_refused_as_told_and_those_after_them_are_not() {
    let server = server().await;
    let control = server.control();
    let connection = connection(server.local_addr());
    control.inject(APPEND, 2, refuse(tonic::Code::PermissionDenied)).expect("a method");
    control.inject(&APPEND.to_lowercase(), 1, refuse(tonic::Code::InvalidArgument)).expect("a method");
    let mut reasons = Vec::new();
    for _ in 0..3 {
        let failed = append(&connection, "s", vec![event(b"{}")]).await.expect_err("refused");
        assert!(!failed.may_be_written, "{failed:?}");
        reasons.push(failed.error.reason());
    }
    assert_eq!(reasons, ["access_denied", "access_denied", "invalid_argument"]);
    assert_eq!(count(&connection, "s").await, None, "nothing was written, and reads are not concerned");
    fill(&connection, "s", 1).await;
    assert_eq!(count(&connection, "s").await, Some(1));
    let unknown = control.inject("/event_store.client.streams.Streams/Nonsense", 1, Injection::Stall);
    let text = unknown.expect_err("no method").to_string();
    assert!(text.contains("Streams/Nonsense"), "{text}");
}

#[tokio::test]
async fn a_subscription_that_is_refused_for_a_while_is_tried_again_until_it_is_taken() {
    let server = server().await;
    let connection = connection(server.local_addr());
    fill(&connection, "s", 2).await;
    server.control().inject(READ, 2, refuse(tonic::Code::Unavailable)).expect("a method");
    assert_eq!(subscribe(&connection, "s", Start::Beginning).events_until(1).await, [0, 1]);
}

#[tokio::test]
async fn a_stalled_call_is_given_up_by_its_client_or_goes_on_when_it_is_let_go() {
    let server = server().await;
    let control = server.control();
    let connection = connection(server.local_addr());
    control.inject(APPEND, 1, Injection::Stall).expect("a method");
    let time = Time::Limited(Duration::from_millis(100));
    let failed = client::append(&connection, "s".into(), Expectation::Any, vec![event(b"{}")], time)
        .await
        .expect_err("in time");
    assert_eq!(failed.error.reason(), "deadline_exceeded");

    let mut pending = control.inject(READ, 1, Injection::Stall).expect("a method");
    let mut running = subscribe(&connection, "s", Start::Beginning);
    pending.come().await;
    // Behind the stalled one in the order of the connection, and not held up by it.
    fill(&connection, "s", 2).await;
    control.clear();
    assert_eq!(running.events_until(1).await, [0, 1]);
}

#[tokio::test]
async fn a_server_is_ended_by_its_handle_with_a_stalled_call_on_it() {
    let mut server = server().await;
    let control = server.control();
    let connection = connection(server.local_addr());
    let mut pending = control.inject(APPEND, 1, Injection::Stall).expect("a method");
    let stalled = tokio::spawn(async move { append(&connection, "s", vec![event(b"{}")]).await });
    pending.come().await;
    control.stop();
    assert_eq!(server.ended().await, Ok(()));
    assert!(stalled.await.expect("no panic").is_err());
}

/// A server with events, a subscription and a stalled call is reset; what is found on it afterwards.
async fn reset(storage: Storage) -> Server {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::start(Options::new(address, storage)).await.expect("a free port");
    let (address, control) = (server.local_addr(), server.control());
    let before = connection(address);
    fill(&before, "s", 3).await;
    let mut running = subscribe(&before, "s", Start::Beginning);
    assert_eq!(running.events_until(2).await, [0, 1, 2]);
    let mut pending = control.inject(APPEND, 2, Injection::Stall).expect("a method");
    let stalled = |name: &'static str| {
        let connection = connection_with(address, "");
        tokio::spawn(async move { append(&connection, name, vec![event(b"{}")]).await })
    };
    let stalled = [stalled("s"), stalled("t")];
    pending.come().await;
    control.reset().await.expect("a reset");
    running.until(Given::Dropped).await;
    for stalled in stalled {
        assert!(stalled.await.expect("no panic").is_err());
    }
    let after = connection_with(address, "");
    for stream in ["s", "t"] {
        assert_eq!(count(&after, stream).await, None);
    }
    assert_eq!(count(&after, "$$$stats").await, Some(1), "as at the first start");
    fill(&after, "s", 2).await;
    assert_eq!(subscribe(&after, "s", Start::Beginning).events_until(1).await, [0, 1]);
    server
}

#[tokio::test]
async fn a_server_in_memory_that_is_reset_is_as_at_its_first_start_on_the_same_port() {
    let mut server = reset(Storage::Memory).await;
    let control = server.control();
    for _ in 0..20 {
        control.reset().await.expect("another one");
        let connection = connection_with(server.local_addr(), "");
        assert_eq!(count(&connection, "s").await, None);
        fill(&connection, "s", 1).await;
    }
    server.stop();
    assert_eq!(server.ended().await, Ok(()));
    let late = control.reset().await.expect_err("it has ended").to_string();
    assert_eq!(late, "the server was not reset: it has ended");
}

#[tokio::test]
async fn a_server_in_a_folder_that_is_reset_keeps_nothing_of_before_and_all_that_comes_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = || Storage::Disk(folder.path().to_owned());
    reset(storage()).await.shutdown().await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::start(Options::new(address, storage())).await.expect("a free port");
    let connection = connection(server.local_addr());
    assert_eq!(count(&connection, "s").await, Some(2));
    assert_eq!(count(&connection, "t").await, None);
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_whose_folder_is_gone_cannot_be_reset_and_ends_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new(([127, 0, 0, 1], 0).into(), Storage::Disk(folder.path().to_owned()));
    let mut server = Server::start(options).await.expect("a free port");
    std::fs::remove_file(folder.path().join("penstock")).expect("a marker");
    let failed = server.control().reset().await.expect_err("no folder").to_string();
    assert!(failed.contains("penstock: ") && failed.contains("removed by somebody else"), "{failed}");
    let ended = server.ended().await.expect_err("it cannot go on").to_string();
    assert!(ended.contains("could not begin anew") && ended.contains("removed by somebody else"), "{ended}");
}
