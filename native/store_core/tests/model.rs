//! The store against a naive one: lists that are searched from the start, every time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use store_core::{
    AllRead, Answer, Command, Direction, Draft, Expected, Fault, Found, LAST_REVISION, NewEvent, PageSize,
    Store, StreamRead,
};
use support::Writes as _;

const NAMES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append { name: usize, expected: Expected, ids: Vec<u128> },
    Limit { name: usize, max_count: Option<u64>, truncate_before: Option<u64> },
    Delete { name: usize, expected: Expected },
    Tombstone { name: usize },
    Read { name: usize, from: u64, backwards: bool, page: usize },
}

/// Requests to streams, and to what describes them.
fn commands() -> impl Strategy<Value = Command> {
    let name = prop::sample::select(vec!["a", "b", "$$a", "$$b"]);
    let stream = prop::sample::select(NAMES.to_vec());
    prop_oneof![
        6 => (name, expectations(), prop::collection::vec(1..12_u128, 0..4)).prop_map(|(name, expected, ids)| {
            let events: Vec<_> = ids.iter().map(|id| event(*id, "{\"$tb\":1}".to_owned(), "T")).collect();
            support::append(name, expected, &events)
        }),
        2 => (stream.clone(), expectations()).prop_map(|(name, expected)| support::delete(name, expected)),
        1 => stream.clone().prop_map(|name| support::tombstone(name, Expected::Any)),
        1 => (stream, expectations()).prop_map(|(name, expected)| Command::SetMetadata {
            stream: name.to_owned(),
            expected,
            metadata: "{\"$maxCount\":2}".to_owned(),
        }),
    ]
}

/// All that is to be read, and where the log ends.
fn everything(store: &Store) -> String {
    let all = AllRead {
        from: 0,
        direction: Direction::Forwards,
        size: PageSize::events(10_000),
        resolve: false,
        fits: None,
    };
    let streams = ["a", "b", "$$a", "$$b"].map(|name| read(store, name, 0, false, 100));
    format!("{} {streams:?} {:?}", store.head(), store.read_all(&all, 0))
}

fn expectations() -> impl Strategy<Value = Expected> {
    prop_oneof![
        3 => Just(Expected::Any),
        1 => Just(Expected::NoStream),
        1 => Just(Expected::StreamExists),
        2 => (0..6_u64).prop_map(Expected::Revision),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        6 => (name.clone(), expectations(), prop::collection::vec(1..12_u128, 0..4))
            .prop_map(|(name, expected, ids)| Step::Append { name, expected, ids }),
        1 => (name.clone(), prop::option::of(1..4_u64), prop::option::of(0..8_u64))
            .prop_map(|(name, max_count, truncate_before)| Step::Limit { name, max_count, truncate_before }),
        1 => (name.clone(), expectations()).prop_map(|(name, expected)| Step::Delete { name, expected }),
        1 => name.clone().prop_map(|name| Step::Tombstone { name }),
        4 => (name, 0..10_u64, any::<bool>(), 1..5_usize)
            .prop_map(|(name, from, backwards, page)| Step::Read { name, from, backwards, page }),
    ]
}

#[derive(Default)]
struct Naive {
    streams: BTreeMap<usize, NaiveStream>,
    log: Vec<(usize, u64)>,
}

#[derive(Default, Clone)]
struct NaiveStream {
    ids: Vec<u128>,
    max_count: Option<u64>,
    truncate_before: Option<u64>,
    described: bool,
    tombstoned: bool,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Written(Option<u64>),
    Wrong(Option<u64>),
    Gone,
}

impl NaiveStream {
    fn last(&self) -> Option<u64> {
        (self.ids.len() as u64).checked_sub(1)
    }

    fn deleted(&self) -> bool {
        self.truncate_before == Some(LAST_REVISION)
    }

    fn first(&self) -> u64 {
        let by_count = self.max_count.map_or(0, |count| (self.ids.len() as u64).saturating_sub(count));
        by_count.max(self.truncate_before.unwrap_or(0))
    }

    fn where_is(&self, id: u128) -> Option<u64> {
        self.ids.iter().position(|known| *known == id).map(|index| index as u64)
    }

    fn append(&mut self, expected: Expected, ids: &[u128]) -> Outcome {
        if self.tombstoned || self.deleted() && expected == Expected::StreamExists {
            return Outcome::Gone;
        }
        let (last, deleted) = (self.last(), self.deleted());
        let lying_at = |first: usize| {
            !ids.is_empty()
                && self.ids.len() >= first + ids.len()
                && self.ids[first..first + ids.len()] == *ids
        };
        let known = match (expected, last) {
            (Expected::Any | Expected::StreamExists, Some(_)) => {
                match ids.iter().map(|id| self.where_is(*id)).collect::<Vec<_>>().as_slice() {
                    [] | [None, ..] => None,
                    all if all.contains(&None) => return Outcome::Wrong(last),
                    all => *all.last().unwrap(),
                }
            }
            (Expected::NoStream, Some(_)) if lying_at(0) => Some(ids.len() as u64 - 1),
            (Expected::NoStream, Some(_)) if !deleted => return Outcome::Wrong(last),
            (Expected::StreamExists, None) => return Outcome::Wrong(None),
            (Expected::Revision(revision), _) if Some(revision) == last => None,
            (Expected::Revision(revision), Some(_)) if lying_at(revision as usize + 1) => {
                Some(revision + ids.len() as u64)
            }
            (Expected::Revision(_), _) => return Outcome::Wrong(last),
            _ => None,
        };
        if known.is_some() {
            return Outcome::Written(known);
        }
        if !ids.is_empty() && deleted {
            self.truncate_before = Some(self.ids.len() as u64);
        }
        self.ids.extend(ids);
        Outcome::Written(self.last())
    }

    fn delete(&mut self, expected: Expected) -> Outcome {
        if self.tombstoned {
            return Outcome::Gone;
        }
        let (last, deleted) = (self.last(), self.deleted());
        let right = match expected {
            Expected::StreamExists if deleted => return Outcome::Gone,
            Expected::Any => last.is_some() || self.described,
            Expected::StreamExists => last.is_some(),
            Expected::NoStream => deleted || last.is_none() && self.described,
            Expected::Revision(revision) => Some(revision) == last,
        };
        if !right {
            return Outcome::Wrong(last);
        }
        (self.max_count, self.truncate_before) = (None, Some(LAST_REVISION));
        self.described = true;
        Outcome::Written(None)
    }
}

fn event(id: u128, data: String, kind: &str) -> NewEvent {
    NewEvent { id, kind: kind.to_owned(), json: true, data: data.into(), custom: Bytes::new() }
}

fn outcome<T>(result: Result<T, Fault>, of: impl FnOnce(T) -> Outcome) -> Outcome {
    match result {
        Ok(done) => of(done),
        Err(Fault::StreamDeleted(_)) => Outcome::Gone,
        Err(other) => panic!("{other}"),
    }
}

fn appended(done: Answer) -> Outcome {
    match done {
        Answer::Done { revision, .. } => Outcome::Written(revision),
        Answer::Wrong { current } => Outcome::Wrong(current),
    }
}

fn deleted(done: Answer) -> Outcome {
    match done {
        Answer::Done { .. } => Outcome::Written(None),
        Answer::Wrong { current } => Outcome::Wrong(current),
    }
}

/// All of a stream, page by page; nothing if there is no stream.
fn read(store: &Store, name: &str, from: u64, backwards: bool, page: usize) -> Option<Vec<(u64, u128)>> {
    let direction = if backwards { Direction::Backwards } else { Direction::Forwards };
    let (mut from, mut found) = (from, Vec::new());
    loop {
        let size = PageSize::events(page);
        let read = StreamRead { name, from, direction, size, resolve: false, unlimited: false };
        let Ok(Found::Stream(stream)) = store.read_stream(&read, 0) else { return None };
        assert!(stream.page.events.len() <= page);
        found.extend(stream.page.events.iter().map(|pair| {
            let record = pair.event.as_ref().unwrap();
            assert_eq!(record.name(), name);
            (record.revision, record.id)
        }));
        match stream.page.next {
            Some(next) => from = next,
            None => return Some(found),
        }
    }
}

fn run(store: &mut Store, naive: &mut Naive, step: Step) {
    match step {
        Step::Append { name, expected, ids } => {
            let events: Vec<_> = ids.iter().map(|id| event(*id, "{}".to_owned(), "T")).collect();
            let stream = naive.streams.entry(name).or_default();
            let before = stream.ids.len() as u64;
            let wanted = stream.append(expected, &ids);
            naive.log.extend((before..stream.ids.len() as u64).map(|revision| (name, revision)));
            assert_eq!(outcome(store.append(NAMES[name], expected, &events, 0), appended), wanted);
        }
        Step::Limit { name, max_count, truncate_before } => {
            let stream = naive.streams.entry(name).or_default();
            let start = match stream.deleted() && !stream.ids.is_empty() {
                true => Some(stream.ids.len() as u64),
                false => truncate_before,
            };
            (stream.max_count, stream.truncate_before, stream.described) = (max_count, start, true);
            let count = max_count.map(|count| format!("\"$maxCount\":{count}"));
            let before = truncate_before.map(|before| format!("\"$tb\":{before}"));
            let fields: Vec<_> = count.into_iter().chain(before).collect();
            let metadata =
                event(u128::MAX - u128::from(store.head()), format!("{{{}}}", fields.join(",")), "$metadata");
            let name = store_core::metadata_stream(NAMES[name]);
            store.append(&name, Expected::Any, &[metadata], 0).unwrap();
        }
        Step::Delete { name, expected } => {
            let wanted = naive.streams.entry(name).or_default().delete(expected);
            assert_eq!(outcome(store.delete(NAMES[name], expected, 0), deleted), wanted);
        }
        Step::Tombstone { name } => {
            let stream = naive.streams.entry(name).or_default();
            let wanted = if stream.tombstoned { Outcome::Gone } else { Outcome::Written(None) };
            stream.tombstoned = true;
            assert_eq!(outcome(store.tombstone(NAMES[name], Expected::Any, 0), deleted), wanted);
        }
        Step::Read { name, from, backwards, page } => {
            let stream = naive.streams.entry(name).or_default();
            let readable = !stream.ids.is_empty() && !stream.tombstoned && !stream.deleted();
            let numbered =
                (0..).zip(stream.ids.iter().copied()).filter(|(revision, _)| *revision >= stream.first());
            let wanted: Vec<(u64, u128)> = if backwards {
                let up_to: Vec<_> = numbered.filter(|(revision, _)| *revision <= from).collect();
                up_to.into_iter().rev().collect()
            } else {
                numbered.filter(|(revision, _)| *revision >= from).collect()
            };
            assert_eq!(read(store, NAMES[name], from, backwards, page), readable.then_some(wanted));
        }
    }
}

/// What the streams of the model put into the log, in its order.
fn log(store: &Store) -> Vec<(usize, u64)> {
    let (size, direction) = (PageSize::events(3), Direction::Forwards);
    let (mut from, mut found, mut last) = (0, Vec::new(), 0);
    loop {
        let page = store.read_all(&AllRead { from, direction, size, resolve: false, fits: None }, 0).unwrap();
        for record in page.events.iter().filter_map(|pair| pair.event.as_ref()) {
            assert!(record.position > last, "positions grow");
            last = record.position;
            if let Some(name) = NAMES.iter().position(|name| *name == record.name())
                && record.revision != LAST_REVISION
            {
                found.push((name, record.revision));
            }
        }
        match page.next {
            Some(next) => from = next,
            None => return found,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn the_store_answers_as_lists_searched_from_the_start_do(steps in prop::collection::vec(steps(), 1..40)) {
        let (mut store, mut naive) = (Store::in_memory(7), Naive::default());
        for step in steps {
            run(&mut store, &mut naive, step);
        }
        prop_assert_eq!(log(&store), naive.log);
    }

    /// Commands that are decided one after another, together, or as one request change the same, and deciding by itself
    /// changes nothing.
    #[test]
    fn requests_that_belong_together_change_what_they_would_one_by_one(
        before in prop::collection::vec(commands(), 0..12),
        pending in prop::collection::vec(commands(), 0..6),
        together in prop::collection::vec(commands(), 0..8),
    ) {
        let mut store = Store::in_memory(7);
        for command in &before {
            let _ = store.execute(command, 0);
        }
        let untouched = everything(&store);
        // What is decided, but not applied yet.
        let mut draft = Draft::new(&store);
        let mut changes = Vec::new();
        for command in &pending {
            if let Ok(decision) = draft.decide(command, 0) && let Some(write) = decision.write {
                draft.include(&write);
                changes.push(write);
            }
        }
        let decided = draft.decide_all(&together, 0);
        let again = draft.decide_all(&together, 0);
        prop_assert_eq!(format!("{decided:?}"), format!("{again:?}"));
        prop_assert_eq!(everything(&store), untouched, "deciding changes nothing");

        let mut one_by_one = Store::in_memory(7);
        for command in before.iter().chain(&pending) {
            let _ = one_by_one.execute(command, 0);
        }
        for change in changes {
            store.apply(change);
        }
        prop_assert_eq!(everything(&store), everything(&one_by_one));

        let mut wanted = Vec::new();
        let mut fault = None;
        let former = everything(&one_by_one);
        for command in &together {
            match one_by_one.execute(command, 0) {
                Ok(answer) => {
                    wanted.push(answer);
                    if matches!(answer, Answer::Wrong { .. }) {
                        break;
                    }
                }
                Err(refused) => {
                    fault = Some(refused);
                    break;
                }
            }
        }
        match (decided, fault) {
            (Err(refused), fault) => {
                prop_assert_eq!(Some(refused), fault);
                prop_assert_eq!(everything(&store), former);
            }
            (Ok(decision), fault) => {
                prop_assert_eq!(fault, None);
                let wrong = matches!(wanted.last(), Some(Answer::Wrong { .. }));
                prop_assert_eq!(decision.answer, wanted);
                if let Some(write) = decision.write {
                    prop_assert!(!wrong);
                    store.apply(write);
                }
                let wanted = if wrong { former } else { everything(&one_by_one) };
                prop_assert_eq!(everything(&store), wanted);
            }
        }
    }
}
