//! What the model does not cover: links, ages, metadata that the store writes, positions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use store_core::{
    AllRead, Answer, Command, Decision, Direction, Draft, Expected, Fault, Found, NewEvent, PageSize, Pair,
    Store, StreamRead, Ticks,
};
use support::Writes as _;

const SECOND: Ticks = 10_000_000;

fn event(id: u128, kind: &str, data: &str) -> NewEvent {
    NewEvent { id, kind: kind.to_owned(), json: true, data: data.to_owned().into(), custom: Bytes::new() }
}

fn append_at(store: &mut Store, name: &str, events: &[NewEvent], now: Ticks) -> (Option<u64>, Option<u64>) {
    match store.append(name, Expected::Any, events, now).unwrap() {
        Answer::Done { revision, position } => (revision, position),
        wrong => panic!("{wrong:?}"),
    }
}

fn append(store: &mut Store, name: &str, events: &[NewEvent]) -> (Option<u64>, Option<u64>) {
    append_at(store, name, events, 0)
}

fn fill(store: &mut Store, name: &str, count: u128) {
    let events: Vec<_> = (1..=count).map(|id| event(id, "T", "{}")).collect();
    append(store, name, &events);
}

fn read_at(store: &Store, name: &str, resolve: bool, now: Ticks) -> Vec<Pair> {
    let (size, direction) = (PageSize::events(100), Direction::Forwards);
    let read = StreamRead { name, from: 0, direction, size, resolve, unlimited: false };
    match store.read_stream(&read, now).unwrap() {
        Found::Stream(found) => found.page.events,
        Found::Missing => panic!("{name} is missing"),
    }
}

fn revisions(store: &Store, name: &str, now: Ticks) -> Vec<u64> {
    read_at(store, name, false, now).iter().map(|pair| pair.event.as_ref().unwrap().revision).collect()
}

fn metadata(store: &Store, name: &str) -> String {
    let events = read_at(store, &store_core::metadata_stream(name), false, 0);
    String::from_utf8(events[0].event.as_ref().unwrap().data().to_vec()).unwrap()
}

#[test]
fn an_event_is_encoded_with_its_text_id_first_and_its_data_last() {
    let mut store = Store::in_memory(1);
    append(&mut store, "stream", &[event(0x0123_4567_89ab_cdef, "Kind", "{\"a\":1}")]);
    let record = read_at(&store, "stream", false, 0).remove(0).event.unwrap();
    assert_eq!(&record.encoded[4..40], b"00000000-0000-0000-0123-456789abcdef");
    assert!(record.encoded.ends_with(b"{\"a\":1}"));
    assert_eq!((record.name(), record.kind(), record.data()), ("stream", "Kind", &b"{\"a\":1}"[..]));
}

#[test]
fn an_append_of_nothing_takes_a_position_and_makes_no_stream() {
    let mut store = Store::in_memory(1);
    let (revision, first) = append(&mut store, "s", &[]);
    assert_eq!(revision, None);
    assert!(append(&mut store, "s", &[]).1 > first);
    assert_eq!(store.next_revision("s"), 0);
}

#[test]
fn a_repeated_append_answers_where_the_events_are() {
    let mut store = Store::in_memory(1);
    let events = [event(1, "T", "{}"), event(2, "T", "{}")];
    let first = append(&mut store, "s", &events);
    fill(&mut store, "other", 2);
    assert_eq!(append(&mut store, "s", &events), first);
    assert_eq!(revisions(&store, "s", 0), [0, 1]);
}

#[test]
fn events_grow_too_old_one_by_one() {
    let mut store = Store::in_memory(1);
    append(&mut store, "$$s", &[event(1, "$metadata", "{\"$maxAge\":10}")]);
    for second in 0..5 {
        append_at(&mut store, "s", &[event(u128::from(second) + 10, "T", "{}")], second * SECOND);
    }
    assert_eq!(revisions(&store, "s", 10 * SECOND), [0, 1, 2, 3, 4]);
    assert_eq!(revisions(&store, "s", 12 * SECOND), [2, 3, 4]);
    assert!(revisions(&store, "s", 60 * SECOND).is_empty());
}

#[test]
fn a_link_leads_to_its_event_unless_that_is_not_to_be_read() {
    let mut store = Store::in_memory(1);
    for name in ["good", "deleted", "tombstoned", "truncated"] {
        fill(&mut store, name, 3);
    }
    store.delete("deleted", Expected::Any, 0).unwrap();
    store.tombstone("tombstoned", Expected::Any, 0).unwrap();
    append(&mut store, "$$truncated", &[event(1, "$metadata", "{\"$tb\":2}")]);
    let targets = [
        ("1@good", Some(1)),
        ("-1@good", Some(2)),
        ("9@good", None),
        ("0@none", None),
        ("0@deleted", None),
        ("0@tombstoned", None),
        ("1@truncated", None),
        ("2@truncated", Some(2)),
    ];
    let links: Vec<_> = (100..).zip(targets).map(|(id, (target, _))| event(id, "$>", target)).collect();
    append(&mut store, "links", &links);
    for (pair, (target, revision)) in read_at(&store, "links", true, 0).iter().zip(targets) {
        assert_eq!(pair.event.as_ref().map(|event| event.revision), revision, "{target}");
        assert_eq!(pair.link.as_ref().map(|link| link.name()), Some("links"), "{target}");
    }
    assert!(read_at(&store, "links", false, 0).iter().all(|pair| pair.link.is_none()));
}

#[test]
fn what_only_looks_like_a_link_is_an_event() {
    let mut store = Store::in_memory(1);
    append(&mut store, "s", &[event(1, "$>", "nonsense"), event(2, "$>", "x@s"), event(3, "T", "0@s")]);
    assert!(read_at(&store, "s", true, 0).iter().all(|pair| pair.event.is_some() && pair.link.is_none()));
}

#[test]
fn a_deleted_stream_that_is_written_to_begins_after_what_was_deleted_and_keeps_its_metadata() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 3);
    assert!(matches!(store.delete("s", Expected::Any, 0), Ok(Answer::Done { position: Some(_), .. })));
    assert_eq!(metadata(&store, "s"), "{\"$tb\":9223372036854775807}");
    append(&mut store, "$$s", &[event(50, "$metadata", "{\"mine\":2}")]);
    assert_eq!(metadata(&store, "s"), "{\"mine\":2,\"$tb\":3}");
    append(&mut store, "s", &[event(51, "T", "{}")]);
    assert_eq!(revisions(&store, "s", 0), [3]);
}

/// As in a real server: metadata has the last word on where a stream begins, and the deleted events are still there.
#[test]
fn metadata_that_is_set_a_second_time_on_a_deleted_stream_lifts_what_hid_its_events() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 3);
    store.delete("s", Expected::Any, 0).unwrap();
    append(&mut store, "$$s", &[event(50, "$metadata", "{\"mine\":2}")]);
    assert!(revisions(&store, "s", 0).is_empty(), "the first time they stay hidden");
    append(&mut store, "$$s", &[event(51, "$metadata", "{\"mine\":3,\"$tb\":3}")]);
    assert!(revisions(&store, "s", 0).is_empty(), "so they do with $tb kept");
    append(&mut store, "$$s", &[event(52, "$metadata", "{\"mine\":4,\"$tb\":1}")]);
    assert_eq!(revisions(&store, "s", 0), [1, 2]);
    append(&mut store, "$$s", &[event(53, "$metadata", "{\"mine\":5}")]);
    assert_eq!(revisions(&store, "s", 0), [0, 1, 2]);
}

#[test]
fn a_tombstone_hides_the_metadata_of_its_stream_too() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 1);
    append(&mut store, "$$s", &[event(9, "$metadata", "{}")]);
    store.tombstone("s", Expected::Any, 0).unwrap();
    assert_eq!(store.check_stream("$$s"), Err(Fault::StreamDeleted("$$s".to_owned())));
    assert!(store.append("$$s", Expected::Any, &[event(10, "$metadata", "{}")], 0).is_ok());
}

#[test]
fn the_log_is_read_from_any_position_of_an_event_and_from_no_other() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 3);
    let (size, direction) = (PageSize::events(100), Direction::Forwards);
    let all = AllRead { from: 0, direction, size, resolve: false, fits: None };
    let positions: Vec<_> = store
        .read_all(&all, 0)
        .unwrap()
        .events
        .iter()
        .map(|pair| pair.event.as_ref().unwrap().position)
        .collect();
    let from = store.read_all(&AllRead { from: positions[1], ..all }, 0).unwrap();
    assert_eq!(from.events.len(), 2);
    let before =
        store.read_all(&AllRead { from: positions[1], direction: Direction::Backwards, ..all }, 0).unwrap();
    assert_eq!(before.events[0].event.as_ref().unwrap().position, positions[0]);
    assert_eq!(store.check_position(positions[1]), Ok(()));
    assert_eq!(store.check_position(positions[1] + 1), Err(Fault::InvalidPosition));
    assert_eq!(store.check_position(store.head()), Err(Fault::AheadOfLog));
}

#[test]
fn a_stream_that_has_only_metadata_is_deleted_expecting_any_or_nothing_and_begins_at_its_first_event() {
    for expected in [Expected::Any, Expected::NoStream] {
        let mut store = Store::in_memory(1);
        assert_eq!(store.delete("s", expected, 0), Ok(Answer::Wrong { current: None }));
        append(&mut store, "$$s", &[event(1, "$metadata", "{\"mine\":2}")]);
        assert_eq!(store.delete("s", Expected::Revision(0), 0), Ok(Answer::Wrong { current: None }));
        assert!(matches!(store.delete("s", expected, 0), Ok(Answer::Done { position: Some(_), .. })));
        assert_eq!(metadata(&store, "s"), "{\"$tb\":9223372036854775807}");
        append(&mut store, "s", &[event(2, "T", "{}")]);
        assert_eq!(revisions(&store, "s", 0), [0]);
    }
}

#[test]
fn position_0_is_the_beginning_of_every_log() {
    let mut store = Store::in_memory(1);
    assert_eq!(store.check_position(0), Ok(()), "also of an empty one");
    fill(&mut store, "s", 2);
    assert_eq!(store.check_position(0), Ok(()));
    let (size, direction) = (PageSize::events(100), Direction::Forwards);
    let all = AllRead { from: 0, direction, size, resolve: false, fits: None };
    assert_eq!(store.read_all(&all, 0).unwrap().events.len(), 2);
    let backwards = AllRead { direction: Direction::Backwards, ..all };
    assert!(store.read_all(&backwards, 0).unwrap().events.is_empty());
}

#[test]
fn what_brings_a_deleted_stream_back_is_one_change() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 3);
    store.delete("s", Expected::Any, 0).unwrap();
    for (name, written) in [("s", ["s", "$$s"]), ("$$s", ["$$s", "$$s"])] {
        let command = support::append(name, Expected::Any, &[event(50, "T", "{}")]);
        let change = Draft::new(&store).decide(&command, 0).unwrap().write.unwrap();
        let names: Vec<_> = change.records.iter().map(|record| record.name()).collect();
        assert_eq!(names, written);
    }
}

#[test]
fn a_draft_knows_what_it_included_and_the_store_does_not() {
    let mut store = Store::in_memory(1);
    fill(&mut store, "s", 2);
    let new = [event(7, "T", "{}"), event(8, "T", "{}")];
    let mut draft = Draft::new(&store);
    let decide = |draft: &Draft<'_>, command: &Command| {
        let Decision { answer, write } = draft.decide(command, 0)?;
        Ok((answer, write))
    };
    let append = |name, expected| support::append(name, expected, &new);
    let (done, first) = decide(&draft, &append("s", Expected::Revision(1))).unwrap();
    let first = first.unwrap();
    draft.include(&first);
    for expected in [Expected::Revision(1), Expected::Any] {
        let (answer, change) = decide(&draft, &append("s", expected)).unwrap();
        assert_eq!(answer, done, "the same again");
        assert!(change.is_none());
    }
    let (_, second) = decide(&draft, &append("t", Expected::NoStream)).unwrap();
    let second = second.unwrap();
    draft.include(&second);
    let other = support::append("t", Expected::NoStream, &[event(9, "T", "{}")]);
    assert_eq!(decide(&draft, &other).unwrap().0, Answer::Wrong { current: Some(1) });
    let (_, third) = decide(&draft, &support::tombstone("t", Expected::Any)).unwrap();
    let third = third.unwrap();
    draft.include(&third);
    let refused = decide(&draft, &append("t", Expected::Any)).map(|(answer, _)| answer);
    assert_eq!(refused, Err(Fault::StreamDeleted("t".to_owned())));
    assert_eq!((store.next_revision("s"), store.next_revision("t")), (2, 0));
    for change in [first, second, third] {
        store.apply(change);
    }
    assert_eq!((store.next_revision("s"), store.next_revision("t")), (4, 2));
    assert_eq!(revisions(&store, "s", 0), [0, 1, 2, 3]);
    assert!(store.check_stream("t").is_err());
}

#[test]
fn metadata_that_the_store_sets_is_an_event_of_its_own_and_can_be_expected_to_be_the_first() {
    let mut store = Store::in_memory(1);
    let metadata = |text: &str| Command::SetMetadata {
        stream: "s".to_owned(),
        expected: Expected::NoStream,
        metadata: text.to_owned(),
    };
    assert!(matches!(
        store.execute(&metadata("{\"$maxCount\":1}"), 0),
        Ok(Answer::Done { revision: Some(0), .. })
    ));
    fill(&mut store, "s", 3);
    assert_eq!(revisions(&store, "s", 0), [2]);
    assert_eq!(store.execute(&metadata("{}"), 0), Ok(Answer::Wrong { current: Some(0) }));
    let events = read_at(&store, "$$s", false, 0);
    let event = events[0].event.as_ref().unwrap();
    assert_eq!((event.kind(), event.data(), event.json), ("$metadata", &b"{\"$maxCount\":1}"[..], true));
}

#[test]
fn events_of_a_stream_share_its_name() {
    let mut store = Store::in_memory(1);
    fill(&mut store, &"n".repeat(60_000), 3);
    let events = read_at(&store, &"n".repeat(60_000), false, 0);
    let names: Vec<_> = events.iter().map(|pair| pair.event.as_ref().unwrap().name.as_ptr()).collect();
    assert!(names.iter().all(|name| *name == names[0]));
    assert!(events.iter().all(|pair| pair.event.as_ref().unwrap().encoded.len() < 1_000));
}
