//! The projections that every real server has: streams of links, made of what is appended to streams of users.
//!
//! - `$ce-CATEGORY` (`$by_category`): every event of the streams whose name begins with `CATEGORY-`
//! - `$et-TYPE` (`$by_event_type`): every event of a type, if its data is said to be JSON
//! - `$streams` (`$streams`): the first event of every stream
//! - `$category-CATEGORY` (`$stream_by_category`): the name of every stream of a category
//!
//! One task follows the log and appends what follows from it. How far it came is in a stream of its own, and what it
//! appends has ids that depend on what it follows from alone: what was appended before is not appended again, wherever it
//! was interrupted.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Answer, Command, Direction, Expected, Fault, Found, NewEvent, PageSize, Record, StreamRead,
};
use uuid::Uuid;

use crate::log::{Look, glance};
use crate::node::Node;

/// How far the task came.
const CHECKPOINT: &str = "$projections-$system-checkpoint";
/// What is looked at together.
const PAGE: PageSize = PageSize { events: 256, bytes: 256 * 1024 };
/// Between a category and the rest of a name.
const SEPARATOR: char = '-';
/// What ids are derived from.
const IDS: Uuid = Uuid::from_u128(0x0a7c_6a4e_8d0b_4f0f_9a55_5e6c_3b1d_2f10);

/// After a failure it is tried again so much later: a disk may be full, or a cluster without a leader.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the log until the server ends, or begins anew.
pub async fn follow(node: Weak<Node>) {
    let Some(first) = node.upgrade() else { return };
    let (mut changes, stopping) = (first.engine.watch_log(), first.engine.stopping());
    drop(first);
    let follow = async {
        // Nowhere yet: it is read where to go on.
        let mut next = None;
        loop {
            changes.mark_unchanged();
            // Held only while there is something to do: a server that begins anew has another one.
            let Some(node) = node.upgrade() else { return };
            match step(&node, next).await {
                Ok(Step { at, more }) => {
                    drop(node);
                    next = at;
                    if !more && changes.changed().await.is_err() {
                        return;
                    }
                }
                Err(_) if node.engine.head_now() == 0 => return,
                Err(failed) => {
                    drop(node);
                    tracing::warn!(%failed, "the system projections could not go on; they try again");
                    next = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = stopping => {}
    }
}

/// Where it came to.
struct Step {
    /// Where to go on, if that is known.
    at: Option<u64>,
    /// Whether there is more already.
    more: bool,
}

/// Appends what follows from a page of the log.
async fn step(node: &Arc<Node>, from: Option<u64>) -> Result<Step, Fault> {
    // Only one node of a cluster writes; the next one goes on where that one was.
    if !node.leads() {
        return Ok(Step { at: None, more: false });
    }
    let from = match from {
        Some(from) => from,
        None => checkpoint(node).await?,
    };
    let look = Look { from, direction: Direction::Forwards, size: PAGE, resolve: false };
    let page = node.engine.read(move |store, now| glance(store, look, now)).await?;
    let records = page.events.iter().filter_map(|pair| pair.event.as_ref());
    let found: Vec<_> = records.flat_map(follows).collect();
    let something = !found.is_empty();
    for (stream, events) in by_stream(found) {
        append(node, stream, events).await?;
    }
    let at = page.next.unwrap_or(from);
    if something {
        save(node, at).await?;
    }
    Ok(Step { at: Some(at), more: page.more })
}

/// What is appended because of an event: to which stream, and what. Nothing follows from what the server itself writes.
fn follows(record: &Record) -> Vec<(String, NewEvent)> {
    let name = record.name();
    let tombstone = record.revision == store_core::LAST_REVISION;
    if name.starts_with('$') || tombstone {
        return Vec::new();
    }
    let own = format!("{}@{name}", record.revision);
    // A link to what is linked to, not to the link.
    let is_link = record.kind() == LINK;
    let target = if is_link { String::from_utf8_lossy(record.data()).into_owned() } else { own.clone() };
    let category = name.split_once(SEPARATOR).map(|(category, _)| category).filter(|name| !name.is_empty());
    let mut found = Vec::new();
    let mut add = |stream: String, kind: &str, data: String| {
        let event = link(record, &stream, kind, data);
        found.push((stream, event));
    };
    if record.revision == 0 {
        add("$streams".to_owned(), LINK, own.clone());
    }
    if let Some(category) = category {
        add(format!("$ce-{category}"), LINK, target);
        if record.revision == 0 {
            add(format!("$category-{category}"), REFERENCE, name.to_owned());
        }
    }
    if record.json && !is_link {
        add(format!("$et-{}", record.kind()), LINK, own);
    }
    found
}

/// Types of what leads to an event, and of what names a stream.
const LINK: &str = "$>";
const REFERENCE: &str = "$@";

fn link(record: &Record, stream: &str, kind: &str, data: String) -> NewEvent {
    let id = Uuid::new_v5(&IDS, format!("{}:{}", record.position, stream).as_bytes());
    let cause = serde_json::json!({
        "$c": record.position,
        "$p": record.position,
        "$causedBy": Uuid::from_u128(record.id).hyphenated().to_string(),
    });
    let (kind, data, custom) = (kind.to_owned(), Bytes::from(data), cause.to_string().into());
    NewEvent { id: id.as_u128(), kind, json: false, data, custom }
}

/// What belongs to the same stream together, in order.
fn by_stream(found: Vec<(String, NewEvent)>) -> Vec<(String, Vec<NewEvent>)> {
    let mut streams: Vec<(String, Vec<NewEvent>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (stream, event) in found {
        let place = *places.entry(stream.clone()).or_insert(streams.len());
        match streams.get_mut(place) {
            Some((_, events)) => events.push(event),
            None => streams.push((stream, vec![event])),
        }
    }
    streams
}

/// Appends what was not appended before it was interrupted.
async fn append(node: &Arc<Node>, stream: String, events: Vec<NewEvent>) -> Result<(), Fault> {
    let whole = Command::Append { stream: stream.clone(), expected: Expected::Any, events: events.clone() };
    match node.write(whole, None, None).await {
        Ok(Answer::Done { .. }) => Ok(()),
        // Some of them were: one by one the store knows them.
        Ok(Answer::Wrong { .. }) => {
            for event in events {
                let (stream, expected) = (stream.clone(), Expected::Any);
                node.write(Command::Append { stream, expected, events: vec![event] }, None, None).await?;
            }
            Ok(())
        }
        // Somebody does not want the stream any more.
        Err(Fault::StreamDeleted(_)) => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// Where to go on.
async fn checkpoint(node: &Arc<Node>) -> Result<u64, Fault> {
    let read = |store: &store_core::Store, now| {
        let (name, direction, size) = (CHECKPOINT, Direction::Backwards, PageSize::events(1));
        let read = StreamRead { name, from: u64::MAX, direction, size, resolve: false, unlimited: false };
        store.read_stream(&read, now)
    };
    let Found::Stream(found) = node.engine.read(read).await? else { return Ok(0) };
    let last = found.page.events.into_iter().next().and_then(|pair| pair.event);
    let position = last.and_then(|record| std::str::from_utf8(record.data()).ok()?.parse().ok());
    Ok(position.unwrap_or(0))
}

async fn save(node: &Arc<Node>, position: u64) -> Result<(), Fault> {
    let event = NewEvent {
        id: Uuid::new_v4().as_u128(),
        kind: "$ProjectionCheckpoint".to_owned(),
        json: true,
        data: position.to_string().into(),
        custom: Bytes::new(),
    };
    let (stream, expected) = (CHECKPOINT.to_owned(), Expected::Any);
    node.write(Command::Append { stream, expected, events: vec![event] }, None, None).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use store_core::Store;

    use super::*;

    fn record(stream: &str, kind: &str, json: bool, data: &str) -> Record {
        let mut store = Store::in_memory(1);
        let (stream, kind) = (stream.to_owned(), kind.to_owned());
        let event = NewEvent { id: 7, kind, json, data: data.to_owned().into(), custom: Bytes::new() };
        store.execute(&Command::Append { stream, expected: Expected::Any, events: vec![event] }, 1).unwrap();
        let look = Look { from: 0, direction: Direction::Forwards, size: PAGE, resolve: false };
        glance(&store, look, 1).unwrap().events.remove(0).event.unwrap()
    }

    fn found(stream: &str, kind: &str, json: bool, data: &str) -> Vec<(String, String, String)> {
        let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
        let found = follows(&record(stream, kind, json, data)).into_iter();
        found.map(|(stream, event)| (stream, event.kind, text(&event.data))).collect()
    }

    fn owned(found: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        found.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
    }

    #[test]
    fn what_follows_from_an_event_depends_on_its_stream_its_type_and_whether_it_is_json() {
        let first = ("$streams", "$>", "0@order-1");
        let category = [("$ce-order", "$>", "0@order-1"), ("$category-order", "$@", "order-1")];
        assert_eq!(found("order-1", "Paid", false, "x"), owned(&[first, category[0], category[1]]));
        let kind = ("$et-Paid", "$>", "0@order-1");
        assert_eq!(found("order-1", "Paid", true, "{}"), owned(&[first, category[0], category[1], kind]));
        assert_eq!(found("plain", "T", false, ""), owned(&[("$streams", "$>", "0@plain")]));
        assert_eq!(found("-x", "T", false, ""), owned(&[("$streams", "$>", "0@-x")]));
        assert_eq!(found("$sys-1", "T", true, "{}"), []);
        let linked = [("$streams", "$>", "0@a-b"), ("$ce-a", "$>", "3@other"), ("$category-a", "$@", "a-b")];
        assert_eq!(found("a-b", "$>", true, "3@other"), owned(&linked));
    }

    #[test]
    fn the_same_event_always_has_the_same_links() {
        let once = |stream: &str| follows(&record(stream, "T", true, "{}"));
        let ids = |stream: &str| once(stream).into_iter().map(|(_, event)| event.id).collect::<Vec<_>>();
        assert_eq!(ids("a-b"), ids("a-b"));
        let mut all = ids("a-b");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
