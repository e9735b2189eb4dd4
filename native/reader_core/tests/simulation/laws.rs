//! What has to hold, whatever happens: nothing lost, doubled or reordered.

use std::collections::BTreeMap;

use reader_core::{LARGEST, Place, Position, Start, Target};

use crate::model::{OURS, Record, Server};

/// A position as something to sort by.
pub type Key = (u64, u64);

/// What is owed to whoever subscribed, and how far they are.
#[derive(Debug)]
pub struct Laws {
    on_log: bool,
    filtered: bool,
    owed: BTreeMap<Key, Record>,
    /// The last event, checkpoint, or start.
    pub floor: Option<Key>,
    /// Whether it begins with what is appended after an end that is still to be found.
    awaits_end: bool,
    pub emitted: u64,
}

pub fn key(position: Position) -> Key {
    match position {
        Position::Revision(revision) => (revision, 0),
        Position::Log(log) => (log.commit, log.prepare),
    }
}

impl Laws {
    pub fn new(target: &Target) -> Self {
        let (on_log, filtered, start) = match target {
            Target::Stream { from, .. } => (false, false, from.to_owned().into_key(|at| (at, 0))),
            Target::All { from, filter } => {
                (true, filter.is_some(), from.to_owned().into_key(|at| (at.commit, at.prepare)))
            }
        };
        let (floor, awaits_end) = match start {
            Start::Beginning => (None, false),
            Start::End => (None, true),
            Start::After(key) => (Some(key), false),
        };
        Self { on_log, filtered, owed: BTreeMap::new(), floor, awaits_end, emitted: 0 }
    }

    fn place(&self, place: Place) -> Key {
        if self.on_log { (place.log.commit, place.log.prepare) } else { (place.revision, 0) }
    }

    /// Something was appended, or was there from the start.
    pub fn appended(&mut self, record: Record) {
        let fits = record.stream == OURS || self.on_log && !self.filtered;
        let key = self.place(record.place);
        let is_tombstone = !self.on_log && record.place.revision == LARGEST;
        if fits && !is_tombstone && self.floor.is_none_or(|floor| key > floor) {
            self.owed.insert(key, record);
        }
    }

    /// What cannot be read any more may come or not.
    pub fn forgive(&mut self, server: &Server) {
        let on_log = self.on_log;
        self.owed.retain(|_, record| {
            let is_there = server.log.iter().any(|it| it.id == record.id);
            is_there && (on_log || server.is_readable(record))
        });
    }

    /// The end was found here, and is where it begins.
    pub fn located(&mut self, end: Option<Position>) {
        assert!(self.awaits_end, "an end was located that nobody asked for, or twice");
        self.awaits_end = false;
        self.floor = end.map(key);
        if let Some(floor) = self.floor {
            self.owed.retain(|key, _| *key > floor);
        }
    }

    pub fn emitted(&mut self, record: Record) {
        assert!(!self.awaits_end, "an event came before the end was known: {record:?}");
        let at = self.place(record.place);
        assert!(self.floor.is_none_or(|floor| at > floor), "doubled or out of order: {record:?}");
        if let Some(owed) = self.owed.get(&at) {
            assert!(owed.age != record.age || owed.id == record.id, "not what was written: {record:?}");
        }
        self.owed.remove(&at);
        self.floor = Some(at);
        self.emitted += 1;
        self.passed(at, record.age);
    }

    /// All up to here was said to be looked at.
    pub fn checkpoint(&mut self, position: Position, age: u64) {
        let at = key(position);
        assert!(self.floor.is_none_or(|floor| at > floor), "a checkpoint that says nothing new");
        self.floor = Some(at);
        self.passed(at, age);
    }

    /// Nothing of the same age may be left behind. What a server wrote anew, after it had lost what was there, and before
    /// a position that had been reached meanwhile, is not seen by anybody.
    fn passed(&mut self, at: Key, age: u64) {
        while let Some(first) = self.owed.first_entry() {
            if *first.key() > at {
                break;
            }
            assert!(first.get().age > age, "lost: {:?} at {at:?}", first.get());
            first.remove();
        }
    }

    /// A subscription has to begin where the former ended.
    pub fn resumed(&self, target: &Target) {
        let start = match target {
            Target::Stream { from, .. } => from.to_owned().into_key(|at| (at, 0)),
            Target::All { from, .. } => from.to_owned().into_key(|at| (at.commit, at.prepare)),
        };
        let expected = self.floor.map_or(Start::Beginning, Start::After);
        assert!(!self.awaits_end && start == expected, "{start:?} instead of {expected:?}");
    }

    pub fn is_settled(&self) -> bool {
        self.owed.is_empty()
    }

    pub fn first_owed(&self) -> Option<&Record> {
        self.owed.values().next()
    }
}

trait IntoKey<P> {
    fn into_key(self, key: impl FnOnce(P) -> Key) -> Start<Key>;
}

impl<P> IntoKey<P> for Start<P> {
    fn into_key(self, key: impl FnOnce(P) -> Key) -> Start<Key> {
        match self {
            Self::Beginning => Start::Beginning,
            Self::End => Start::End,
            Self::After(at) => Start::After(key(at)),
        }
    }
}
