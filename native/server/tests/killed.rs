//! Durable storage: a server that is killed at any moment has lost nothing that it acknowledged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Process, all, any, append, client, event};
use server::{Options, Server, StartError, Storage};
use wire::proto::streams::append_req::ProposedMessage;
use wire::proto::streams::append_req::options::ExpectedStreamRevision;

const ROUNDS: u64 = 6;

/// Appends to two streams, three events at a time, until the server is gone; how many events were acknowledged.
async fn write_until_killed(address: &str, mut next: [u64; 2]) -> [u64; 2] {
    let mut client = client(address).await;
    for turn in 0.. {
        let index = turn % 2;
        let first = next[index];
        let events = (first..first + 3).map(|number| event(number.to_string().into_bytes())).collect();
        let expected = match first.checked_sub(1) {
            Some(last) => ExpectedStreamRevision::Revision(last),
            None => ExpectedStreamRevision::NoStream(wire::proto::Empty {}),
        };
        match append(&mut client, ["one", "two"][index], expected, events).await {
            Ok(revision) => {
                assert_eq!(revision, first + 2);
                next[index] = revision + 1;
            }
            Err(_) => break,
        }
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_writes_has_every_acknowledged_event_and_no_part_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = [0, 0];
    let rounds = asked_for("PENSTOCK_KILLS", ROUNDS);
    for round in 0..=rounds {
        let mut process = Process::start(folder.path());
        let mut reader = client(&process.address).await;
        let mut found = [0, 0];
        for (index, stream) in ["one", "two"].into_iter().enumerate() {
            let events = all(&mut reader, stream).await;
            for (number, (revision, data)) in (0..).zip(&events) {
                assert_eq!((*revision, data.as_slice()), (number, number.to_string().as_bytes()));
            }
            found[index] = events.len() as u64;
            assert!(found[index] >= acknowledged[index], "{stream}: {} of {acknowledged:?}", found[index]);
            assert_eq!(found[index] % 3, 0, "{stream}: an append is whole or not there");
        }
        if round == rounds {
            break;
        }
        let writing = tokio::spawn({
            let address = process.address.clone();
            async move { write_until_killed(&address, found).await }
        });
        // Killed after another number of events each time, seen by a subscriber.
        let mut events = reader.read(common::read("one", None)).await.unwrap().into_inner();
        while let Ok(Some(message)) = events.message().await {
            if common::revision(&message.content)
                .is_some_and(|revision| revision >= found[0] + 20 + 7 * (round % 9))
            {
                break;
            }
        }
        process.child.kill().unwrap();
        acknowledged = writing.await.unwrap();
        assert!(acknowledged[0] > found[0], "the writer got somewhere in round {round}");
    }
}

/// Deletes the stream and appends two events, again and again, until the server is gone; the events that were asked for
/// last and the revision after the last acknowledged one.
async fn delete_and_append_until_killed(address: &str, mut next: u64) -> (Vec<ProposedMessage>, u64) {
    let mut client = client(address).await;
    loop {
        let events = vec![event(b"1".to_vec()), event(b"2".to_vec())];
        if next > 0 && common::delete(&mut client, "s").await.is_err() {
            return (events, next);
        }
        match append(&mut client, "s", any(), events.clone()).await {
            Ok(revision) => next = revision + 1,
            Err(_) => return (events, next),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_a_kill_cut_off_from_a_deleted_stream_is_readable_when_it_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    for round in 0..asked_for("PENSTOCK_KILLS", 8) {
        let mut process = Process::start(folder.path());
        let writing = tokio::spawn({
            let address = process.address.clone();
            async move { delete_and_append_until_killed(&address, next).await }
        });
        let mut reader = client(&process.address).await;
        let mut events = reader.read(common::read("s", None)).await.unwrap().into_inner();
        while let Ok(Some(message)) = events.message().await {
            if common::revision(&message.content)
                .is_some_and(|revision| revision >= next + 6 + 5 * (round % 7))
            {
                break;
            }
        }
        process.child.kill().unwrap();
        let (asked, acknowledged) = writing.await.unwrap();
        drop(process);

        let process = Process::start(folder.path());
        let mut client = client(&process.address).await;
        let last = append(&mut client, "s", any(), asked).await.unwrap();
        assert!(last + 1 >= acknowledged, "revision {last}, and {acknowledged} were acknowledged");
        let read: Vec<_> = all(&mut client, "s").await.into_iter().map(|(revision, _)| revision).collect();
        // Those before them are there if their deletion was not asked for in time.
        assert!(
            read.ends_with(&[last - 1, last]) && read.len() <= 4,
            "in round {round}: {read:?}, not {last}"
        );
        next = last + 1;
    }
}

/// A number from the environment, for longer runs.
fn asked_for(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

async fn start(folder: &std::path::Path) -> Result<Server, StartError> {
    let address = "127.0.0.1:0".parse().unwrap();
    Server::start(Options::new(address, Storage::Disk(folder.to_owned()))).await
}

#[tokio::test]
async fn a_server_started_again_on_its_folder_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await.unwrap();
    let repeated = event(b"1".to_vec());
    let mut first = client(&server.local_addr().to_string()).await;
    assert_eq!(
        append(&mut first, "s", any(), vec![event(b"0".to_vec()), repeated.clone()]).await.unwrap(),
        1
    );
    server.shutdown().await;

    let server = start(folder.path()).await.unwrap();
    let mut second = client(&server.local_addr().to_string()).await;
    assert_eq!(append(&mut second, "s", any(), vec![repeated]).await.unwrap(), 1, "its id is known");
    let expected = ExpectedStreamRevision::Revision(1);
    assert_eq!(append(&mut second, "s", expected, vec![event(b"2".to_vec())]).await.unwrap(), 2);
    let data: Vec<_> = all(&mut second, "s").await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(data, [b"0", b"1", b"2"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_folder_is_open_to_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let error = start(folder.path()).await.unwrap_err();
    assert!(matches!(error, StartError::DataInUse { .. }), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()));
    drop(process);
    start(folder.path()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_folder_whose_files_were_overwritten_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.unwrap().shutdown().await;
    std::fs::write(folder.path().join("penstock"), b"nonsense").unwrap();
    let error = start(folder.path()).await.unwrap_err();
    assert!(matches!(error, StartError::DataCorrupted { .. }), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()));
}

#[tokio::test]
async fn a_journal_that_lost_acknowledged_events_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await.unwrap();
    let mut client = client(&server.local_addr().to_string()).await;
    for number in 0..10 {
        append(&mut client, "s", any(), vec![event(vec![number; 1_000])]).await.unwrap();
    }
    server.shutdown().await;
    let journal = folder.path().join("00000001.log");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[2_000..5_000].fill(0xff);
    std::fs::write(&journal, bytes).unwrap();
    let error = start(folder.path()).await.unwrap_err();
    assert!(matches!(error, StartError::DataCorrupted { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    assert!(
        text.contains("00000001.log: the frame at byte") && text.contains("Nothing was changed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_store_whose_making_was_cut_short_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("penstock.new"), b"penstock ev").unwrap();
    std::fs::write(folder.path().join("00000001.log"), b"").unwrap();
    start(folder.path()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn appends_are_refused_when_their_folder_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let server = start(&path).await.unwrap();
    let mut client = client(&server.local_addr().to_string()).await;
    append(&mut client, "s", any(), vec![event(b"0".to_vec())]).await.unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let refused = append(&mut client, "s", any(), vec![event(b"1".to_vec())]).await.unwrap_err();
    assert!(refused.message().contains("the data folder was deleted"), "{refused}");
    server.shutdown().await;
}
