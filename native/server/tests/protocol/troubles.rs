//! Faults on demand, as a client sees them.

use std::time::{Duration, Instant};

use server::Trouble;
use tonic::Code;
use wire::proto::streams::{ReadResp, read_resp};

use crate::common::{Client, all, any, append, event, read};
use crate::start;

async fn subscribed(client: &mut Client) -> tonic::Streaming<ReadResp> {
    let mut answers = client.read(read("s", None)).await.unwrap().into_inner();
    while !matches!(answers.message().await.unwrap().unwrap().content, Some(read_resp::Content::CaughtUp(_)))
    {
    }
    answers
}

async fn next(answers: &mut tonic::Streaming<ReadResp>) -> Result<Option<ReadResp>, tonic::Status> {
    tokio::time::timeout(Duration::from_secs(10), answers.message()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_dropped_and_say_that_they_fell_behind_and_new_ones_do_not() {
    let (server, mut client) = start().await;
    let mut answers = subscribed(&mut client).await;
    server.control().trouble(Trouble::FellBehind);
    let message = next(&mut answers).await.unwrap().unwrap().content;
    assert!(matches!(message, Some(read_resp::Content::FellBehind(_))), "{message:?}");
    server.control().trouble(Trouble::DropSubscriptions);
    assert_eq!(next(&mut answers).await.unwrap_err().code(), Code::Unavailable);
    let mut again = subscribed(&mut client).await;
    append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    let message = next(&mut again).await.unwrap().unwrap().content;
    assert!(matches!(message, Some(read_resp::Content::Event(_))), "{message:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_as_long_as_the_disk_is_full_or_appends_are_refused() {
    let (server, mut client) = start().await;
    let control = server.control();
    for (trouble, code, text) in [
        (Trouble::FillDisk, Code::Internal, "no space left"),
        (Trouble::RefuseAppends, Code::Unavailable, "Server Is Not Ready"),
    ] {
        control.trouble(trouble);
        let refused = append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap_err();
        assert!(refused.code() == code && refused.message().contains(text), "{refused:?}");
        control.heal();
    }
    assert_eq!(append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 0);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_stall_and_go_on_are_slow_and_end_in_the_middle_of_a_message() {
    let (server, mut client) = start().await;
    let control = server.control();
    append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    control.trouble(Trouble::Stall);
    let mut stalled = client.read(read("s", Some(1))).await.unwrap().into_inner();
    assert!(tokio::time::timeout(Duration::from_millis(100), stalled.message()).await.is_err());
    control.heal();
    assert!(next(&mut stalled).await.unwrap().is_some());

    control.trouble(Trouble::Slow(Duration::from_millis(50)));
    let begun = Instant::now();
    assert_eq!(all(&mut client, "s").await.len(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    control.heal();

    control.trouble(Trouble::Truncate(9));
    let mut cut = client.read(read("s", Some(1))).await.unwrap().into_inner();
    let outcome = next(&mut cut).await;
    assert!(!matches!(outcome, Ok(Some(_))), "{outcome:?}");
    control.heal();
    assert_eq!(all(&mut client, "s").await.len(), 1);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_that_another_one_leads_and_a_reset_ends_that_within_milliseconds() {
    let (server, mut client) = start().await;
    let control = server.control();
    append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    control.trouble(Trouble::NotLeader { host: "db.example.com".into(), port: 7 });
    let refused = append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap_err();
    assert_eq!(refused.metadata().get("leader-endpoint-host").unwrap(), "db.example.com");
    let mut answers = client.read(read("s", None)).await.unwrap().into_inner();
    assert!(matches!(
        next(&mut answers).await.unwrap().unwrap().content,
        Some(read_resp::Content::Confirmation(_))
    ));
    assert_eq!(next(&mut answers).await.unwrap_err().metadata().get("exception").unwrap(), "not-leader");
    control.reset().await.unwrap();
    let mut client = crate::common::client(&server.local_addr().to_string()).await;
    assert_eq!(append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 0);
    server.shutdown().await;
}
