//! Errors as they are on the wire, and who else they concern.

use std::time::Duration;

use tonic::Code;
use wire::proto::Empty;
use wire::proto::streams::append_req::{Content, Options, ProposedMessage};
use wire::proto::streams::tombstone_req;
use wire::proto::streams::{AppendReq, TombstoneReq, read_resp};

use crate::common::{any, append, client, event, name, read};
use crate::start;

/// More refusals than HTTP/2 forgives a connection.
const MANY: usize = 3_000;

fn requests(stream: &str, event: ProposedMessage) -> Vec<AppendReq> {
    let options = Options { stream_identifier: name(stream), expected_stream_revision: Some(any()) };
    [Content::Options(options), Content::ProposedMessage(event)]
        .map(|content| AppendReq { content: Some(content) })
        .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_refused_appends_end_no_other_call_of_the_connection() {
    let (server, mut client) = start().await;
    let mut subscription = client.read(read("s", None)).await.unwrap().into_inner();
    let mut bad = event(b"1".to_vec());
    bad.metadata.insert("type".to_owned(), String::new());
    for _ in 0..MANY {
        let refused = client.append(tokio_stream::iter(requests("x", bad.clone()))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unknown, "{refused:?}");
    }
    append(&mut client, "s", any(), vec![event(b"1".to_vec())]).await.unwrap();
    loop {
        let content = subscription.message().await.unwrap().unwrap().content;
        if matches!(content, Some(read_resp::Content::Event(_))) {
            break;
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_refused_append_is_answered_while_its_client_still_sends() {
    let (server, mut client) = start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut bad = event(b"1".to_vec());
    bad.metadata.remove("content-type");
    for request in requests("x", bad) {
        sender.send(request).await.unwrap();
    }
    let refused = client.append(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    drop(sender);
    server.shutdown().await;
}

#[tokio::test]
async fn the_reason_of_a_refusal_survives_names_of_any_length() {
    let (server, mut client) = start().await;
    for length in [5, 5_000, 9_000, 60_000] {
        let stream = "x".repeat(length);
        let options = tombstone_req::Options {
            stream_identifier: name(&stream),
            expected_stream_revision: Some(tombstone_req::options::ExpectedStreamRevision::Any(Empty {})),
        };
        client.tombstone(TombstoneReq { options: Some(options) }).await.unwrap();
        let refused = append(&mut client, &stream, any(), vec![event(b"1".to_vec())]).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{length}: {refused:?}");
        assert_eq!(refused.metadata().get("exception").unwrap(), "stream-deleted");
        assert!(refused.message().starts_with("Event stream 'x"), "{length}");
        assert!(refused.message().ends_with("x' is deleted."), "{length}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn texts_are_on_the_wire_as_they_are_but_for_what_grpc_encodes() {
    let (server, _) = start().await;
    let socket = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    for (path, text) in [
        ("/event_store.client.nope.Nope/Read", "Service is unimplemented."),
        ("/event_store.client.streams.Streams/Nope", "Method is unimplemented."),
        ("/event_store.client.streams.Streams/Append", "Exception was thrown by handler."),
    ] {
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().headers().get("grpc-message").unwrap(), text);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_of_which_a_call_is_refused_serves_other_connections_as_before() {
    let (server, mut one) = start().await;
    let mut other = client(&server.local_addr().to_string()).await;
    let mut bad = event(b"1".to_vec());
    bad.id = None;
    one.append(tokio_stream::iter(requests("x", bad))).await.unwrap_err();
    append(&mut other, "s", any(), vec![event(b"1".to_vec())]).await.unwrap();
    server.shutdown().await;
}
