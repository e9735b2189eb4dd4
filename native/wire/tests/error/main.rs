//! What statuses mean: those a real server sent, and those the transport makes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod captured;

use std::time::Duration;

use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::{Code, Status};
use wire::error::{At, Error, Expected, Fault, Policy, Which};
use wire::proto::Empty;
use wire::proto::streams::append_resp::WrongExpectedVersion;
use wire::proto::streams::append_resp::wrong_expected_version::{
    CurrentRevisionOption, CurrentRevisionOption2060, ExpectedRevisionOption, ExpectedRevisionOption2060,
};

fn status(code: Code, message: &str, trailers: &[(&str, &str)]) -> Status {
    let mut metadata = MetadataMap::new();
    for (name, value) in trailers {
        metadata.insert(name.parse::<MetadataKey<_>>().unwrap(), value.parse().unwrap());
    }
    Status::with_metadata(code, message, metadata)
}

fn error(code: Code, trailers: &[(&str, &str)]) -> Error {
    Error::from(status(code, "words", trailers))
}

#[test]
fn every_exception_becomes_its_reason_with_what_the_trailers_name() {
    let group = [("stream-name", "s"), ("group-name", "g")];
    for (code, trailers, reason, retryable) in [
        (Code::FailedPrecondition, vec![("exception", "stream-deleted")], "stream_deleted", false),
        (
            Code::FailedPrecondition,
            vec![("exception", "wrong-expected-version")],
            "wrong_expected_version",
            false,
        ),
        (
            Code::InvalidArgument,
            vec![("exception", "maximum-append-size-exceeded")],
            "maximum_append_size_exceeded",
            false,
        ),
        (Code::PermissionDenied, vec![("exception", "access-denied")], "access_denied", false),
        (
            Code::InvalidArgument,
            vec![("exception", "missing-required-metadata-property")],
            "missing_required_metadata",
            false,
        ),
        (
            Code::AlreadyExists,
            vec![("exception", "persistent-subscription-exists")],
            "persistent_subscription_exists",
            false,
        ),
        (
            Code::NotFound,
            vec![("exception", "persistent-subscription-does-not-exist")],
            "persistent_subscription_not_found",
            false,
        ),
        (
            Code::Internal,
            vec![("exception", "persistent-subscription-failed")],
            "persistent_subscription_failed",
            false,
        ),
        (
            Code::Cancelled,
            vec![("exception", "persistent-subscription-dropped")],
            "persistent_subscription_dropped",
            true,
        ),
        (
            Code::FailedPrecondition,
            vec![("exception", "maximum-subscribers-reached")],
            "maximum_subscribers_reached",
            false,
        ),
    ] {
        let mut trailers = trailers;
        trailers.extend(group);
        let error = error(code, &trailers);
        assert_eq!((error.reason(), error.retryable()), (reason, retryable));
        let shown = error.to_string();
        if reason.starts_with("persistent") || reason == "maximum_subscribers_reached" {
            assert!(shown.contains("\"g\"") && shown.contains("\"s\""), "{shown}");
        }
    }
}

#[test]
fn the_limit_and_the_missing_properties_are_read() {
    let too_large = error(
        Code::InvalidArgument,
        &[("exception", "maximum-append-size-exceeded"), ("maximum-append-size", "1048576")],
    );
    assert_eq!(too_large, Error::MaximumAppendSizeExceeded { max: Some(1_048_576) });
    let missing = error(
        Code::InvalidArgument,
        &[
            ("exception", "missing-required-metadata-property"),
            ("required-metadata-properties", "type,content-type"),
        ],
    );
    assert_eq!(
        missing,
        Error::MissingRequiredMetadata { properties: vec!["type".into(), "content-type".into()] }
    );
}

#[test]
fn a_not_leader_answer_without_a_leader_is_the_servers_failure() {
    let error = error(Code::NotFound, &[("exception", "not-leader"), ("leader-endpoint-host", "h")]);
    assert_eq!(error, Error::Server { code: Code::NotFound, message: "words".into() });
}

#[test]
fn statuses_without_an_exception_go_by_their_code() {
    for (code, reason, retryable) in [
        (Code::Unauthenticated, "unauthenticated", false),
        (Code::PermissionDenied, "access_denied", false),
        (Code::Unimplemented, "unimplemented", false),
        (Code::InvalidArgument, "invalid_argument", false),
        (Code::DeadlineExceeded, "deadline_exceeded", true),
        (Code::Unavailable, "unavailable", true),
        (Code::Cancelled, "cancelled", true),
        (Code::Unknown, "server", false),
        (Code::ResourceExhausted, "server", true),
        (Code::FailedPrecondition, "server", false),
    ] {
        let error = error(code, &[]);
        assert_eq!((error.reason(), error.retryable()), (reason, retryable), "{code:?}");
    }
}

#[test]
fn an_http_answer_that_is_no_grpc_is_a_matter_of_protocol_unless_it_says_later() {
    for (number, reason) in [
        (400, "protocol"),
        (404, "protocol"),
        (415, "protocol"),
        (302, "protocol"),
        (408, "unavailable"),
        (425, "unavailable"),
        (429, "unavailable"),
        (500, "unavailable"),
        (502, "unavailable"),
        (503, "unavailable"),
        (504, "unavailable"),
        (599, "unavailable"),
    ] {
        let error = fault(Fault::Http(http::StatusCode::from_u16(number).unwrap()));
        assert_eq!(error.reason(), reason, "{number}");
        assert!(error.to_string().contains(&number.to_string()), "{error}");
        assert_eq!(Policy::of(&error).subscription, reason == "unavailable", "{number}");
    }
}

fn fault(fault: Fault) -> Error {
    Error::from(Status::from_error(Box::new(fault)))
}

#[test]
fn a_fault_of_the_road_is_told_from_one_of_the_peer() {
    for (cause, reason, again, shown) in [
        (Fault::NoStatus, "unavailable", true, "without a status"),
        (Fault::Cut, "unavailable", true, "in the middle of a message"),
        (Fault::ContentType("text/html".into()), "protocol", false, "text/html"),
        (Fault::NotHttp2("SSH-2.0".into()), "protocol", true, "it answered \"SSH-2.0\""),
        (Fault::SpeaksTls("\\x15".into()), "protocol", true, "tls=true"),
        (Fault::NotTls("HTTP/1.1".into()), "protocol", true, "tls=false"),
        (Fault::Tls("x".into()), "protocol", true, "TLS failed: x"),
        (Fault::Silent { may_want: "TLS" }, "unavailable", true, "before a word"),
        (Fault::Flag(60), "protocol", false, "the flag 60"),
        (Fault::TooLarge { size: 20, limit: 10 }, "message_too_large", false, "20 bytes; the limit"),
    ] {
        let error = fault(cause);
        assert_eq!((error.reason(), Policy::of(&error).subscription), (reason, again));
        assert!(error.to_string().contains(shown), "{error}");
        assert!(Policy::of(&error).may_be_written);
    }
}

#[test]
fn what_cannot_be_decoded_is_not_said_to_be_no_grpc() {
    let error = Error::Undecodable { what: Which::Event(7), message: "nonsense".into() };
    assert_eq!(error.to_string(), "the event of revision 7 cannot be decoded: nonsense");
    assert_eq!(error.reason(), "protocol");
    let error = error.at(Which::after(None));
    assert_eq!(error.to_string(), "the first message cannot be decoded: nonsense");
}

/// Everything that can be the end of a call, and what follows it.
#[test]
fn the_table_says_for_every_error_whether_it_is_asked_again() {
    let text = String::new;
    let (stream, group, message) = (text, text, text);
    let server = |code| Error::Server { code, message: text() };
    let policy = |call, subscription, may_be_written| Policy { call, subscription, may_be_written };
    for (error, expected) in [
        (Error::Unavailable { message: message() }, policy(true, true, true)),
        (Error::DeadlineExceeded { message: message() }, policy(true, true, true)),
        (Error::Cancelled { message: message() }, policy(true, true, true)),
        (Error::NotLeader { host: text(), port: 1 }, policy(true, true, false)),
        (
            Error::PersistentSubscriptionDropped { stream: stream(), group: group() },
            policy(true, true, false),
        ),
        (server(Code::Aborted), policy(true, true, true)),
        (server(Code::ResourceExhausted), policy(true, true, true)),
        (server(Code::Unknown), policy(false, true, true)),
        (server(Code::Internal), policy(false, true, true)),
        (server(Code::DataLoss), policy(false, true, true)),
        (server(Code::NotFound), policy(false, true, false)),
        (server(Code::FailedPrecondition), policy(false, true, false)),
        (Error::Protocol { message: message() }, policy(false, false, true)),
        (Error::NotHttp2 { message: message() }, policy(false, true, true)),
        (Error::Undecodable { what: Which::First, message: message() }, policy(false, false, true)),
        (Error::TooLarge { what: Which::First, size: 2, limit: 1 }, policy(false, false, true)),
        (Error::StreamDeleted { stream: stream() }, policy(false, false, false)),
        (
            Error::WrongExpectedVersion { stream: stream(), expected: Expected::Any, current: None },
            policy(false, false, false),
        ),
        (Error::MaximumAppendSizeExceeded { max: None }, policy(false, false, false)),
        (Error::AccessDenied, policy(false, false, false)),
        (Error::Unauthenticated, policy(false, false, false)),
        (Error::Certificate { message: message() }, policy(false, false, false)),
        (Error::MissingRequiredMetadata { properties: vec![] }, policy(false, false, false)),
        (
            Error::PersistentSubscriptionExists { stream: stream(), group: group() },
            policy(false, false, false),
        ),
        (
            Error::PersistentSubscriptionNotFound { stream: stream(), group: group() },
            policy(false, false, false),
        ),
        (
            Error::PersistentSubscriptionFailed { stream: stream(), group: group(), cause: text() },
            policy(false, false, false),
        ),
        (Error::MaximumSubscribersReached { stream: stream(), group: group() }, policy(false, false, false)),
        (Error::Unimplemented { message: message() }, policy(false, false, false)),
        (Error::InvalidArgument { message: message() }, policy(false, false, false)),
        (
            Error::PositionBeyondEnd {
                stream: stream(),
                position: At::Revision(2),
                last: Some(At::Revision(1)),
            },
            policy(false, false, false),
        ),
    ] {
        assert_eq!(Policy::of(&error), expected, "{error:?}");
        assert_eq!(error.retryable(), expected.call, "{error:?}");
    }
}

#[test]
fn failures_on_the_way_name_their_cause() {
    let io = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer");
    let error = Error::from(Status::from_error(Box::new(io)));
    assert_eq!(error.reason(), "unavailable");
    assert!(error.to_string().contains("connection reset by peer"), "{error}");
}

#[test]
fn a_call_that_the_closing_connection_cancelled_found_no_server() {
    let mut status = Status::cancelled("h2 protocol error: http2 error");
    status.set_source(std::sync::Arc::new(std::io::Error::other("operation was canceled")));
    assert_eq!(Error::from(status).reason(), "unavailable");
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_of_http_2_is_told_from_one_that_is_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
    });
    let error = call(address).await;
    assert!(Policy::of(&error).subscription, "{error}");
    server.await.unwrap();
    // The listener is gone with its task.
    let error = call(address).await;
    assert_eq!(error.reason(), "unavailable");
    assert!(error.to_string().contains("refused"), "{error}");
}

async fn call(address: std::net::SocketAddr) -> Error {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.timeout(Duration::from_secs(5)).connect_lazy();
    let mut client = wire::proto::gossip::gossip_client::GossipClient::new(channel);
    client.read(Empty {}).await.unwrap_err().into()
}

#[test]
fn an_appends_refusal_is_read_in_both_generations() {
    let stream = || "s".to_owned();
    let new = WrongExpectedVersion {
        current_revision_option: Some(CurrentRevisionOption::CurrentRevision(4)),
        expected_revision_option: Some(ExpectedRevisionOption::ExpectedNoStream(Empty {})),
        ..WrongExpectedVersion::default()
    };
    let error = Error::from_append(stream(), &new);
    assert_eq!(
        error,
        Error::WrongExpectedVersion { stream: stream(), expected: Expected::NoStream, current: Some(4) }
    );
    assert_eq!(error.to_string(), "the stream \"s\" was expected not to exist, but its last revision is 4");
    let old = WrongExpectedVersion {
        current_revision_option_20_6_0: Some(CurrentRevisionOption2060::NoStream2060(Empty {})),
        expected_revision_option_20_6_0: Some(ExpectedRevisionOption2060::ExpectedRevision2060(7)),
        ..WrongExpectedVersion::default()
    };
    let error = Error::from_append(stream(), &old);
    assert_eq!(error.to_string(), "the stream \"s\" was expected at revision 7, but there is no such stream");
}
