//! Batches that do not become whole: given up in time, and never more of them than there is room for.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use wire::proto::streams::batch_append_req::options::{DeadlineOption, ExpectedStreamPosition};
use wire::proto::streams::batch_append_req::{Options, ProposedMessage};
use wire::proto::streams::batch_append_resp::Result as Outcome;
use wire::proto::streams::{BatchAppendReq, BatchAppendResp};
use wire::proto::{StreamIdentifier, Uuid, uuid::Value};

use crate::common::{Client, any, append, event};
use crate::start;

struct Call {
    requests: mpsc::Sender<BatchAppendReq>,
    answers: Streaming<BatchAppendResp>,
}

async fn call(client: &mut Client) -> Call {
    let (requests, receiver) = mpsc::channel(1);
    // The call is answered with its first request at the latest.
    requests
        .send(BatchAppendReq { correlation_id: id(u128::MAX), ..BatchAppendReq::default() })
        .await
        .unwrap();
    let answers = client.batch_append(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    Call { requests, answers }
}

fn id(number: u128) -> Option<Uuid> {
    Some(Uuid { value: Some(Value::String(uuid::Uuid::from_u128(number).to_string())) })
}

fn chunk(number: u128, deadline: Option<DeadlineOption>, size: usize, is_final: bool) -> BatchAppendReq {
    let event = event(vec![b'1'; size]);
    BatchAppendReq {
        correlation_id: id(number),
        options: Some(Options {
            stream_identifier: Some(StreamIdentifier { stream_name: "s".to_owned().into() }),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: deadline,
        }),
        proposed_messages: vec![ProposedMessage {
            id: event.id,
            metadata: event.metadata,
            custom_metadata: event.custom_metadata,
            data: event.data,
        }],
        is_final,
    }
}

fn code(answer: &BatchAppendResp) -> i32 {
    match &answer.result {
        Some(Outcome::Error(status)) => status.code,
        Some(Outcome::Success(_)) => 0,
        None => -1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_batch_times_out_by_itself_and_no_deadline_is_longer_than_two_seconds() {
    let (server, mut client) = start().await;
    let mut call = call(&mut client).await;
    let hour = prost_types::Duration { seconds: 3_600, nanos: 0 };
    let started = Instant::now();
    call.requests.send(chunk(1, None, 10, false)).await.unwrap();
    call.requests.send(chunk(2, Some(DeadlineOption::Deadline(hour)), 10, false)).await.unwrap();
    for _ in 0..2 {
        let answer = tokio::time::timeout(Duration::from_secs(20), call.answers.message()).await.unwrap();
        let answer = answer.unwrap().unwrap();
        assert_eq!(code(&answer), Code::DeadlineExceeded as i32, "{answer:?}");
        assert!(matches!(answer.correlation_id.unwrap().value, Some(Value::Structured(_))));
    }
    assert!(started.elapsed() >= Duration::from_secs(2));
    // What comes after that belongs to no batch; another one under the same id is taken.
    call.requests.send(BatchAppendReq { options: None, ..chunk(1, None, 10, true) }).await.unwrap();
    call.requests.send(chunk(1, None, 10, true)).await.unwrap();
    let answer = call.answers.message().await.unwrap().unwrap();
    assert_eq!(code(&answer), 0, "{answer:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_batches_take_no_more_than_a_connection_may_and_the_rest_is_refused_by_name() {
    let (server, mut client) = start().await;
    let mut call = call(&mut client).await;
    let requests = call.requests.clone();
    let sending = tokio::spawn(async move {
        for number in 0..400 {
            requests.send(chunk(number, None, 1_000_000, false)).await.unwrap();
        }
    });
    let mut refused = 0;
    for _ in 0..400 {
        let answer = call.answers.message().await.unwrap().unwrap();
        if code(&answer) == Code::ResourceExhausted as i32 {
            let Some(Outcome::Error(status)) = answer.result else { panic!() };
            assert!(status.message.contains("more than 128 MiB on this connection"), "{}", status.message);
            refused += 1;
        } else {
            assert_eq!(code(&answer), Code::DeadlineExceeded as i32, "{answer:?}");
        }
    }
    sending.await.unwrap();
    assert!(refused > 0);
    // The room is free again, and others had theirs all the time.
    call.requests.send(chunk(1, None, 1_000_000, true)).await.unwrap();
    assert_eq!(code(&call.answers.message().await.unwrap().unwrap()), 0);
    append(&mut client, "t", any(), vec![event(b"1".to_vec())]).await.unwrap();
    server.shutdown().await;
}
