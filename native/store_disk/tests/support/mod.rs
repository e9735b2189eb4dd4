//! What the tests of the store on a disk share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "no test uses all of it")]

pub mod disk;

use std::cell::RefCell;
use std::sync::RwLock;

use bytes::Bytes;
use store_core::{
    AllRead, Answer, Command, Decision, Direction, Draft, Expected, Fault, Found, NewEvent, PageSize, Store,
    StreamRead,
};
use store_disk::{Journal, Opened, Remover, Request, commit};

/// The streams that the tests write to.
pub const NAMES: [&str; 6] = ["a", "b", "c", "$$a", "$$b", "a stream with a longer name"];

/// The seed of every store here, so that two of them give the same ids.
pub const SEED: u128 = 7;

/// One request.
#[derive(Clone, Debug)]
pub enum Ask {
    Append { name: usize, expected: Expected, ids: Vec<u128>, size: usize },
    Delete { name: usize },
    Tombstone { name: usize },
}

impl Ask {
    /// A request as chance has it; ids are seldom given twice.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        let name = random.usize(..NAMES.len());
        match random.u8(..40) {
            0..=2 => Self::Delete { name: random.usize(..3) },
            3 if random.u8(..5) == 0 => Self::Tombstone { name: 2 },
            _ => {
                let expected = match random.u8(..8) {
                    0 => Expected::NoStream,
                    1 => Expected::StreamExists,
                    2 => Expected::Revision(random.u64(..6)),
                    _ => Expected::Any,
                };
                let most = if random.u8(..4) == 0 { 40 } else { u128::MAX };
                let ids = (0..random.usize(..5)).map(|_| random.u128(1..most)).collect();
                Self::Append { name, expected, ids, size: random.usize(..1500) }
            }
        }
    }

    pub fn command(&self) -> Command {
        let stream = |name: &usize| NAMES[*name].to_owned();
        match self {
            Self::Append { name, expected, ids, size } => Command::Append {
                stream: stream(name),
                expected: *expected,
                events: ids.iter().map(|id| event(*id, *size)).collect(),
            },
            Self::Delete { name } => Command::Delete { stream: stream(name), expected: Expected::Any },
            Self::Tombstone { name } => Command::Tombstone { stream: stream(name), expected: Expected::Any },
        }
    }
}

/// A request, and where its answer goes.
struct Asked<'a> {
    command: Command,
    answers: &'a RefCell<Vec<Result<Answer, Fault>>>,
}

impl Request for Asked<'_> {
    fn decide(&self, draft: &Draft<'_>) -> Result<Decision<Answer>, Fault> {
        draft.decide(&self.command, 7)
    }

    fn answer(self, outcome: Result<Answer, Fault>) {
        self.answers.borrow_mut().push(outcome);
    }
}

pub fn event(id: u128, size: usize) -> NewEvent {
    let data = match id % 4 {
        0 => "{\"$maxCount\":3}".to_owned(),
        1 => "{\"$tb\":2}".to_owned(),
        _ => format!("{{\"{}\":0}}", "x".repeat(size)),
    };
    NewEvent { id, kind: "T".to_owned(), json: true, data: data.into(), custom: Bytes::from_static(b"c") }
}

/// A store in memory after some requests, for comparison.
pub fn replayed(asked: &[Ask]) -> Store {
    let mut store = Store::in_memory(SEED);
    for ask in asked {
        // What is refused changes nothing.
        let _ = store.execute(&ask.command(), 7);
    }
    store
}

/// A store on a disk.
pub struct OnDisk {
    pub store: RwLock<Option<Store>>,
    pub journal: Journal,
    pub remover: Remover,
}

impl OnDisk {
    pub fn new(opened: Opened) -> Self {
        Self { store: RwLock::new(Some(opened.store)), journal: opened.journal, remover: opened.remover }
    }

    /// Commits requests together; what each is answered.
    pub fn commit(&mut self, asked: &[Ask]) -> Vec<Result<Answer, Fault>> {
        let answers = RefCell::new(Vec::new());
        let mut asked = asked.iter().map(|ask| Asked { command: ask.command(), answers: &answers });
        commit(&self.store, &mut self.journal, || asked.next(), |_| {});
        answers.into_inner()
    }

    pub fn look<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(self.store.read().unwrap().as_ref().unwrap())
    }

    pub fn close(self) {
        self.journal.close().unwrap();
    }
}

/// Everything there is to read, both ways and in pages of several sizes: a text for each answer, or its error.
pub fn whole(store: &Store) -> Vec<Result<String, Fault>> {
    let mut found =
        vec![Ok(store.head().to_string()), Ok(store.last_position()).map(|last| format!("{last:?}"))];
    for direction in [Direction::Forwards, Direction::Backwards] {
        for events in [7, 1_000] {
            for name in NAMES {
                for unlimited in [false, true] {
                    stream(store, name, direction, events, unlimited, &mut found);
                }
            }
            log(store, direction, events, &mut found);
        }
    }
    found
}

fn start(direction: Direction) -> u64 {
    if direction == Direction::Forwards { 0 } else { u64::MAX }
}

fn stream(
    store: &Store,
    name: &str,
    direction: Direction,
    events: usize,
    unlimited: bool,
    found: &mut Vec<Result<String, Fault>>,
) {
    let (size, mut from) = (PageSize::events(events), start(direction));
    loop {
        let read = StreamRead { name, from, direction, size, resolve: false, unlimited };
        match store.read_stream(&read, 7) {
            Ok(Found::Stream(page)) => {
                found.extend(page.page.events.iter().map(|pair| Ok(format!("{pair:?}"))));
                match page.page.next {
                    Some(next) => from = next,
                    None => return,
                }
            }
            other => return found.push(other.map(|other| format!("{other:?}"))),
        }
    }
}

fn log(store: &Store, direction: Direction, events: usize, found: &mut Vec<Result<String, Fault>>) {
    let (size, mut from) = (PageSize::events(events), start(direction));
    loop {
        match store.read_all(&AllRead { from, direction, size, resolve: false, fits: None }, 7) {
            Ok(page) => {
                found.extend(page.events.iter().map(|pair| Ok(format!("{pair:?}"))));
                match page.next {
                    Some(next) => from = next,
                    None => return,
                }
            }
            Err(fault) => return found.push(Err(fault)),
        }
    }
}

/// A number from the environment, for longer runs.
pub fn asked_for(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// The seeds to run with: that of PENSTOCK_SEED alone, or `usual` ones (PENSTOCK_SEEDS for another number) from
/// PENSTOCK_FIRST_SEED on.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    if let Ok(seed) = std::env::var("PENSTOCK_SEED") {
        let seed = seed.parse().unwrap();
        return seed..seed + 1;
    }
    let first = asked_for("PENSTOCK_FIRST_SEED", 0);
    first..first + asked_for("PENSTOCK_SEEDS", usual)
}
