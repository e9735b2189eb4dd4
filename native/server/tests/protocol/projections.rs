//! The streams of the system projections: kept when they are asked for.

use std::time::Duration;

use server::{Options, Storage};
use wire::proto::streams::append_req::ProposedMessage;
use wire::proto::streams::read_req::options::{CountOption, SubscriptionOptions};
use wire::proto::streams::{ReadReq, read_resp};

use crate::common::{Client, any, append, delete, event, read};
use crate::{options, start_with};

fn kept(storage: Storage) -> Options {
    Options { storage, system_projections: true, ..options() }
}

fn of_type(kind: &str, json: bool) -> ProposedMessage {
    let mut event = event(b"{}".to_vec());
    event.metadata.insert("type".to_owned(), kind.to_owned());
    if !json {
        event.metadata.insert("content-type".to_owned(), "application/octet-stream".to_owned());
    }
    event
}

fn resolved(stream: &str) -> ReadReq {
    let mut request = read(stream, None);
    let options = request.options.as_mut().unwrap();
    options.resolve_links = true;
    options.count_option = Some(CountOption::Subscription(SubscriptionOptions {}));
    request
}

/// As many events as are expected, as their stream, revision and link: whoever follows waits for them.
async fn follow(client: &mut Client, stream: &str, count: usize) -> Vec<String> {
    let followed = async {
        let mut answers = client.read(resolved(stream)).await.unwrap().into_inner();
        let mut found = Vec::new();
        while found.len() < count {
            if let Some(read_resp::Content::Event(read)) = answers.message().await.unwrap().unwrap().content {
                let link = read.link.map(|link| String::from_utf8(link.data.to_vec()).unwrap());
                let event = read.event.map(|event| {
                    let name = event.stream_identifier.unwrap().stream_name;
                    format!("{} {}", String::from_utf8(name.to_vec()).unwrap(), event.stream_revision)
                });
                found.push(format!("{} <- {}", event.unwrap_or_default(), link.unwrap_or_default()));
            }
        }
        found
    };
    tokio::time::timeout(Duration::from_secs(20), followed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn categories_types_and_streams_are_followed_in_order_live_and_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Disk(folder.path().join("data"));
    let (server, mut client) = start_with(kept(storage())).await;
    append(&mut client, "order-1", any(), vec![of_type("Paid", true), of_type("Sent", false)]).await.unwrap();
    append(&mut client, "order-2", any(), vec![of_type("Paid", true)]).await.unwrap();
    let orders = ["order-1 0 <- 0@order-1", "order-1 1 <- 1@order-1", "order-2 0 <- 0@order-2"];
    assert_eq!(follow(&mut client, "$ce-order", 3).await, orders);
    assert_eq!(follow(&mut client, "$et-Paid", 2).await, [orders[0], orders[2]]);
    assert_eq!(follow(&mut client, "$streams", 2).await, [orders[0], orders[2]]);
    let names = [" 0 <- ", " 1 <- "].map(|end| format!("$category-order{end}"));
    assert_eq!(follow(&mut client, "$category-order", 2).await, names);
    server.shutdown().await;

    let (server, mut client) = start_with(kept(storage())).await;
    append(&mut client, "order-1", any(), vec![of_type("Paid", true)]).await.unwrap();
    let later = [&orders[..], &["order-1 2 <- 2@order-1"]].concat();
    assert_eq!(follow(&mut client, "$ce-order", 4).await, later);
    delete(&mut client, "order-2").await.unwrap();
    assert_eq!(
        follow(&mut client, "$ce-order", 4).await,
        [later[0], later[1], " <- 0@order-2", later[3]],
        "links to what was deleted lead nowhere"
    );
    // Nothing is linked twice, whatever comes after.
    append(&mut client, "order-3", any(), vec![of_type("Paid", true)]).await.unwrap();
    assert_eq!(follow(&mut client, "$et-Paid", 4).await.last().unwrap(), "order-3 0 <- 0@order-3");
    assert_eq!(follow(&mut client, "$streams", 3).await.last().unwrap(), "order-3 0 <- 0@order-3");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_are_all_linked_once_and_in_their_order() {
    let (server, mut client) = start_with(kept(Storage::Memory)).await;
    let mut wanted = Vec::new();
    for batch in 0..10 {
        let events = (0..100).map(|_| of_type("T", true)).collect();
        append(&mut client, "many-1", any(), events).await.unwrap();
        wanted.extend((batch * 100..batch * 100 + 100).map(|n| format!("many-1 {n} <- {n}@many-1")));
    }
    assert_eq!(follow(&mut client, "$ce-many", 1000).await, wanted);
    server.shutdown().await;
}
