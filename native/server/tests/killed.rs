//! Durable storage: a server that is killed at any moment has lost nothing that it acknowledged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Process, all, any, append, client, event};
use server::{Options, Server, StartError, Storage};
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
    for round in 0..=ROUNDS {
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
        if round == ROUNDS {
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
                .is_some_and(|revision| revision >= found[0] + 20 + 7 * round)
            {
                break;
            }
        }
        process.child.kill().unwrap();
        acknowledged = writing.await.unwrap();
        assert!(acknowledged[0] > found[0], "the writer got somewhere in round {round}");
    }
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
