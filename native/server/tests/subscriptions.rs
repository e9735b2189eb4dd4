//! Subscriptions while events come in: nothing lost, doubled or out of order, whatever the pace.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Client, all, any, append, client, event, read, revision};
use server::{Options, Server, Storage};
use wire::proto::streams::read_resp::Content;

async fn start() -> (Server, Client) {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(Options::new(address, Storage::Memory)).await.unwrap();
    let client = client(&server.local_addr().to_string()).await;
    (server, client)
}

async fn fill(client: &mut Client, stream: &str, events: u64, size: usize) {
    for _ in 0..events / 100 {
        append(client, stream, any(), (0..100).map(|_| event(vec![b'1'; size])).collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_each_event_once_and_in_order_while_writers_write() {
    let (server, mut client) = start().await;
    fill(&mut client, "s", 2_000, 100).await;
    let mut answers = client.read(read("s", None)).await.unwrap().into_inner();
    let mut writer = client.clone();
    let writing = tokio::spawn(async move { fill(&mut writer, "s", 20_000, 100).await });
    let (mut next, mut confirmed, mut caught_up) = (0, 0, 0);
    while next < 22_000 {
        let content = answers.message().await.unwrap().unwrap().content;
        match (&content, revision(&content)) {
            (_, Some(revision)) => {
                assert_eq!(revision, next);
                next += 1;
            }
            (Some(Content::Confirmation(_)), _) => confirmed += 1,
            (Some(Content::CaughtUp(_)), _) => caught_up += 1,
            (other, _) => panic!("{other:?}"),
        }
    }
    writing.await.unwrap();
    assert_eq!(confirmed, 1);
    assert!(caught_up >= 1);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_takes_nothing_holds_nobody_up_and_misses_nothing() {
    let (server, mut client) = start().await;
    let mut answers = client.read(read("s", None)).await.unwrap().into_inner();
    // Far more than the windows of a connection hold.
    fill(&mut client, "s", 4_000, 10_000).await;
    assert_eq!(all(&mut client, "s").await.len(), 4_000);
    let (mut next, mut caught_up) = (0, 0);
    while caught_up == 0 || next < 4_000 {
        let content = answers.message().await.unwrap().unwrap().content;
        if let Some(revision) = revision(&content) {
            assert_eq!(revision, next);
            next += 1;
        } else if matches!(content, Some(Content::CaughtUp(_))) {
            caught_up += 1;
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn open_subscriptions_end_when_the_server_does() {
    let (server, mut client) = start().await;
    let mut answers = client.read(read("s", None)).await.unwrap().into_inner();
    while !matches!(answers.message().await.unwrap().unwrap().content, Some(Content::CaughtUp(_))) {}
    let address = server.local_addr();
    tokio::time::timeout(Duration::from_secs(5), server.shutdown()).await.unwrap();
    assert_eq!(answers.message().await.unwrap_err().code(), tonic::Code::Unavailable);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_server_in_memory_starts_in_less_than_50_ms() {
    // The best of several: the machine may be busy with other tests.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        let (server, _) = start().await;
        best = best.min(begun.elapsed());
        server.shutdown().await;
    }
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (server, _) = start().await;
    let address = server.local_addr();
    let error = Server::start(Options::new(address, Storage::Memory)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("port {} is in use", address.port())), "{error}");
    server.shutdown().await;
}
