//! Storage on disk against storage in memory: the same writes, the same answers, also when opened again.

use bytes::Bytes;
use proptest::prelude::*;
use store_core::{AllRead, Direction, Expected, Found, NewEvent, PageSize, Store, StreamRead};

use crate::disk;

const NAMES: [&str; 3] = ["a", "b", "$$a"];

#[derive(Clone, Debug)]
enum Step {
    Append(usize, Vec<u128>),
    Delete(usize),
    Tombstone(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..NAMES.len(), prop::collection::vec(1..40_u128, 0..6)).prop_map(|(name, ids)| Step::Append(name, ids)),
        1 => (0..2_usize).prop_map(Step::Delete),
        1 => Just(Step::Tombstone(1)),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

fn event(id: u128) -> NewEvent {
    let data = if id.is_multiple_of(2) { "{\"$maxCount\":3}" } else { "{\"$tb\":2}" };
    NewEvent { id, kind: "T".to_owned(), json: true, data: data.into(), custom: Bytes::from_static(b"c") }
}

fn apply(store: &mut Store, step: &Step) -> String {
    match step {
        Step::Append(name, ids) => {
            let events: Vec<_> = ids.iter().copied().map(event).collect();
            format!("{:?}", store.append(NAMES[*name], Expected::Any, &events, 7))
        }
        Step::Delete(name) => format!("{:?}", store.delete(NAMES[*name], Expected::Any, 7)),
        Step::Tombstone(name) => format!("{:?}", store.tombstone(NAMES[*name], Expected::Any, 7)),
        Step::Reopen => String::new(),
    }
}

/// Everything there is to read, both ways.
fn whole(store: &Store) -> Vec<String> {
    let mut found = vec![store.head().to_string()];
    for direction in [Direction::Forwards, Direction::Backwards] {
        let size = PageSize::events(1_000);
        let from = if direction == Direction::Forwards { 0 } else { u64::MAX };
        for name in NAMES {
            for unlimited in [false, true] {
                let read = StreamRead { name, from, direction, size, resolve: false, unlimited };
                let records = match store.read_stream(&read, 7) {
                    Ok(Found::Stream(found)) => found.page.events,
                    other => {
                        found.push(format!("{other:?}"));
                        continue;
                    }
                };
                found.extend(records.iter().map(|pair| format!("{pair:?}")));
            }
        }
        let log = store.read_all(&AllRead { from, direction, size, resolve: false, fits: None }, 7).unwrap();
        found.extend(log.events.iter().map(|pair| format!("{pair:?}")));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    #[test]
    fn a_store_on_disk_answers_as_one_in_memory_does(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Store::in_memory(7);
        let mut disk = disk::open(folder.path(), 7).unwrap();
        for step in steps {
            if matches!(step, Step::Reopen) {
                drop(disk);
                disk = disk::open(folder.path(), 7).unwrap();
            }
            prop_assert_eq!(apply(&mut disk, &step), apply(&mut memory, &step));
        }
        prop_assert_eq!(whole(&disk), whole(&memory));
    }
}
