//! The store as it will be when everything that was decided is written.
//!
//! So whoever writes to a disk decides many requests one after another, each in view of those before it, writes them
//! together, and lets readers see them when they are kept.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::limits::Limits;
use crate::record::{Record, StreamNumber};
use crate::store::{Store, Stream};
use crate::units::LAST_REVISION;
use crate::write::Write;

/// The store, and the changes that were decided since.
pub struct Draft<'a> {
    below: Below<'a>,
    streams: HashMap<Arc<str>, Drafted>,
    limits: HashMap<Box<str>, Limits>,
    /// How many streams have a number.
    numbered: StreamNumber,
    head: u64,
}

/// What lies under the changes.
#[derive(Clone, Copy)]
enum Below<'a> {
    Store(&'a Store),
    Draft(&'a Draft<'a>),
}

/// A stream that something was decided about.
struct Drafted {
    stream: Stream,
    records: Vec<Record>,
    ids: HashMap<u128, u64>,
}

impl<'a> Draft<'a> {
    /// A draft that is the store as it is.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self::above(Below::Store(store), store.streams.len() as StreamNumber, store.head)
    }

    /// A draft of what may follow another one.
    pub(crate) fn after(draft: &'a Draft<'a>) -> Self {
        Self::above(Below::Draft(draft), draft.numbered, draft.head)
    }

    fn above(below: Below<'a>, numbered: StreamNumber, head: u64) -> Self {
        Self { below, streams: HashMap::new(), limits: HashMap::new(), numbered, head }
    }

    /// Takes in what was decided of this draft; what is decided from now on is decided in view of it.
    pub fn include(&mut self, change: &Write) {
        for (described, limits) in change.limits() {
            self.limits.insert(described.into(), limits.unwrap_or_default());
        }
        for row in &change.streams {
            self.numbered = self.numbered.max(row.number + 1);
            let stream = Stream::of(row);
            match self.streams.get_mut(&row.name) {
                Some(drafted) => drafted.stream = stream,
                None => {
                    let drafted = Drafted { stream, records: Vec::new(), ids: HashMap::new() };
                    self.streams.insert(row.name.clone(), drafted);
                }
            }
        }
        for records in change.records.chunk_by(|one, next| one.stream == next.stream) {
            let name = records.first().map(|record| &record.name);
            let Some(drafted) = name.and_then(|name| self.streams.get_mut(name)) else { continue };
            // A tombstone is in the log only.
            for record in records.iter().filter(|record| record.revision != LAST_REVISION) {
                drafted.ids.entry(record.id).or_insert(record.revision);
                drafted.records.push(record.clone());
            }
        }
        self.head = change.head;
    }

    pub(crate) fn store(&self) -> &'a Store {
        match self.below {
            Below::Store(store) => store,
            Below::Draft(draft) => draft.store(),
        }
    }

    /// The position after the last event.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The number that a new stream gets.
    pub(crate) fn next_number(&self) -> StreamNumber {
        self.numbered
    }

    /// The revision after the last event of a stream.
    pub(crate) fn next_revision(&self, name: &str) -> u64 {
        self.stream(name).and_then(|(_, stream)| stream.last).map_or(0, |last| last + 1)
    }

    /// A stream, and its name as all its events share it.
    pub(crate) fn stream(&self, name: &str) -> Option<(&Arc<str>, &Stream)> {
        let drafted = self.streams.get_key_value(name).map(|(name, drafted)| (name, &drafted.stream));
        drafted.or_else(|| match self.below {
            Below::Store(store) => store.streams.get_key_value(name),
            Below::Draft(draft) => draft.stream(name),
        })
    }

    /// The stream of a name, unless it is tombstoned.
    pub(crate) fn writable(&self, name: &str) -> Result<Option<&Stream>, Fault> {
        match self.stream(name) {
            Some((_, stream)) if stream.tombstoned => Err(Fault::StreamDeleted(name.to_owned())),
            found => Ok(found.map(|(_, stream)| stream)),
        }
    }

    /// Whether the stream was softly deleted and not written to since.
    pub(crate) fn deleted(&self, name: &str) -> bool {
        !name.starts_with("$$") && self.limits_of(name).is_some_and(Limits::deleted)
    }

    fn limits_of(&self, name: &str) -> Option<&Limits> {
        self.limits.get(name).or_else(|| match self.below {
            Below::Store(store) => store.limits.get(name),
            Below::Draft(draft) => draft.limits_of(name),
        })
    }

    pub(crate) fn event(&self, name: &str, revision: u64) -> Result<Option<Record>, Fault> {
        let drafted = self.streams.get(name).and_then(|drafted| {
            let first = drafted.records.first()?.revision;
            drafted.records.get(usize::try_from(revision.checked_sub(first)?).ok()?)
        });
        if let Some(record) = drafted {
            return Ok(Some(record.clone()));
        }
        match self.below {
            Below::Draft(draft) => draft.event(name, revision),
            Below::Store(store) => match store.streams.get(name) {
                Some(stream) => Ok(store.storage.event(stream.number, revision)?),
                None => Ok(None),
            },
        }
    }

    /// The revision at which the stream first had an event of this id.
    pub(crate) fn revision_of(&self, name: &str, id: u128) -> Result<Option<u64>, Fault> {
        let below = match self.below {
            Below::Draft(draft) => draft.revision_of(name, id)?,
            Below::Store(store) => match store.streams.get(name) {
                Some(stream) => store.storage.revision_of(stream.number, id)?,
                None => None,
            },
        };
        Ok(below.or_else(|| self.streams.get(name).and_then(|drafted| drafted.ids.get(&id).copied())))
    }
}
