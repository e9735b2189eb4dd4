//! What becomes of a call whose client does not wait any longer than it said.

use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Request};
use wire::proto::streams::append_req::{Content, Options};
use wire::proto::streams::{AppendReq, BatchAppendReq};

use crate::common::{any, append, event, name, read};
use crate::start;

/// A request with a timeout in its headers, which the client itself knows nothing of.
fn within<T>(message: T, timeout: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

#[tokio::test]
async fn a_subscription_ends_at_its_deadline_and_has_everything_up_to_then() {
    let (server, mut client) = start().await;
    append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    let mut answers = client.read(within(read("s", None), "300m")).await.unwrap().into_inner();
    let mut seen = 0;
    let ended = loop {
        match answers.message().await {
            Ok(Some(_)) => seen += 1,
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), ended.message()), (Code::DeadlineExceeded, "Deadline Exceeded"));
    assert_eq!(seen, 3, "confirmed, an event, caught up");
    server.shutdown().await;
}

/// Without tonic, whose client gives a call up by itself.
#[tokio::test]
async fn an_append_that_is_not_whole_at_its_deadline_is_given_up_and_not_written() {
    let (server, mut client) = start().await;
    let socket = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://localhost/event_store.client.streams.Streams/Append")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "200m")
        .body(())
        .unwrap();
    let (response, mut requests) = sender.send_request(request, false).unwrap();
    let options = Options { stream_identifier: name("s"), expected_stream_revision: Some(any()) };
    for content in [Content::Options(options), Content::ProposedMessage(event(b"{}".to_vec()))] {
        let message = AppendReq { content: Some(content) }.encode_to_vec();
        let head = [&[0][..], &(message.len() as u32).to_be_bytes()].concat();
        requests.send_data([head, message].concat().into(), false).unwrap();
    }
    let ended = response.await.unwrap();
    let header = |name: &str| ended.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!((header("grpc-status"), header("grpc-message")), ("4", "Deadline Exceeded"));
    assert_eq!(append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_call_of_batches_ends_at_its_deadline() {
    let (server, mut client) = start().await;
    let requests = tokio_stream::pending::<BatchAppendReq>();
    let mut answers = client.batch_append(within(requests, "200m")).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    server.shutdown().await;
}

#[tokio::test]
async fn a_read_that_is_done_in_time_is_answered_as_ever_and_what_is_no_timeout_is_ignored() {
    let (server, mut client) = start().await;
    append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    for timeout in ["1H", "99999999S", "0n", "soon"] {
        let mut answers = client.read(within(read("s", Some(10)), timeout)).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some(), "{timeout}");
        assert!(answers.message().await.unwrap().is_none(), "{timeout}");
    }
    let mut subscribed = client.read(within(read("s", None), "soon")).await.unwrap().into_inner();
    let waited = tokio::time::timeout(Duration::from_millis(1), async {
        while subscribed.message().await.unwrap().is_some() {}
    });
    assert!(waited.await.is_err());
    server.shutdown().await;
}
