//! Deciding what to write, without writing it.
//!
//! A draft is the store as it will be when everything decided so far is written. So whoever writes to a disk decides
//! many requests, writes them together, and lets readers see them when they are kept.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Ticks;
use crate::append::NewEvent;
use crate::limits::Limits;
use crate::record::{Place, Record};
use crate::storage::{StreamNumber, StreamRow, Write};
use crate::store::{Fault, OVERHEAD, Store, Stream};

/// The store, and what was decided since.
pub struct Draft<'a> {
    pub(crate) store: &'a Store,
    streams: HashMap<Arc<str>, Drafted>,
    limits: HashMap<Box<str>, Limits>,
    new_streams: StreamNumber,
    head: u64,
    change: Write,
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
        Self {
            store,
            streams: HashMap::new(),
            limits: HashMap::new(),
            new_streams: 0,
            head: store.head,
            change: Write::default(),
        }
    }

    /// What was decided since this was last called, to be written wholly or not at all.
    pub fn take(&mut self) -> Option<Write> {
        let changed = self.change.head != 0;
        changed.then(|| std::mem::take(&mut self.change))
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.store.is_new() && self.streams.is_empty()
    }

    /// The position after the last event.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The revision after the last event of a stream.
    #[must_use]
    pub fn next_revision(&self, name: &str) -> u64 {
        self.stream(name).and_then(|stream| stream.last).map_or(0, |last| last + 1)
    }

    pub(crate) fn stream(&self, name: &str) -> Option<&Stream> {
        match self.streams.get(name) {
            Some(drafted) => Some(&drafted.stream),
            None => self.store.streams.get(name),
        }
    }

    /// The stream of a name, unless it is tombstoned.
    pub(crate) fn writable(&self, name: &str) -> Result<Option<&Stream>, Fault> {
        match self.stream(name) {
            Some(stream) if stream.tombstoned => Err(Fault::StreamDeleted(name.to_owned())),
            found => Ok(found),
        }
    }

    /// Whether the stream was softly deleted and not written to since.
    pub(crate) fn deleted(&self, name: &str) -> bool {
        !name.starts_with("$$")
            && self.limits.get(name).or_else(|| self.store.limits.get(name)).is_some_and(Limits::deleted)
    }

    pub(crate) fn event(&self, name: &str, revision: u64) -> Result<Option<Record>, Fault> {
        let drafted = self.streams.get(name).and_then(|drafted| {
            let first = drafted.records.first()?.revision;
            drafted.records.get(usize::try_from(revision.checked_sub(first)?).ok()?)
        });
        match (drafted, self.store.streams.get(name)) {
            (Some(record), _) => Ok(Some(record.clone())),
            (None, Some(stream)) => Ok(self.store.storage.event(stream.number, revision)?),
            (None, None) => Ok(None),
        }
    }

    /// The revision at which the stream first had an event of this id.
    pub(crate) fn revision_of(&self, name: &str, id: u128) -> Result<Option<u64>, Fault> {
        if let Some(stream) = self.store.streams.get(name)
            && let Some(revision) = self.store.storage.revision_of(stream.number, id)?
        {
            return Ok(Some(revision));
        }
        Ok(self.streams.get(name).and_then(|drafted| drafted.ids.get(&id).copied()))
    }

    /// Takes a piece of the log for nothing; where it is.
    pub(crate) fn skip(&mut self) -> u64 {
        let position = self.head;
        self.head += OVERHEAD;
        self.change.head = self.head;
        position
    }

    /// Adds events to the end of a stream; the last one.
    pub(crate) fn put(&mut self, name: &str, events: &[NewEvent], now: Ticks) -> Option<Record> {
        if events.is_empty() {
            return None;
        }
        let (name, mut stream) = self.known_or_new(name);
        let revisions = stream.last.map_or(0, |last| last + 1)..;
        let mut records = Vec::with_capacity(events.len());
        for (revision, event) in revisions.zip(events) {
            let place =
                Place { position: self.head, stream: stream.number, name: &name, revision, created: now };
            records.push(self.record(event, &place));
        }
        let last = records.last().cloned()?;
        stream.last = Some(last.revision);
        if let Some(described) = name.strip_prefix("$$") {
            self.limits.insert(described.into(), Limits::of(&last));
        }
        self.add(name, stream, records);
        Some(last)
    }

    /// Adds a tombstone; its position.
    pub(crate) fn put_tombstone(&mut self, name: &str, event: &NewEvent, now: Ticks) -> u64 {
        let (name, mut stream) = self.known_or_new(name);
        let (position, revision) = (self.head, crate::LAST_REVISION);
        let record = self
            .record(event, &Place { position, stream: stream.number, name: &name, revision, created: now });
        stream.tombstoned = true;
        if let Some(described) = name.strip_prefix("$$") {
            self.limits.insert(described.into(), Limits::default());
        }
        self.add(name, stream, vec![record]);
        position
    }

    fn record(&mut self, event: &NewEvent, place: &Place<'_>) -> Record {
        let record = Record::new(event, place);
        self.head += OVERHEAD + record.encoded.len() as u64;
        record
    }

    fn known_or_new(&mut self, name: &str) -> (Arc<str>, Stream) {
        if let Some((name, drafted)) = self.streams.get_key_value(name) {
            return (name.clone(), drafted.stream.clone());
        }
        if let Some((name, stream)) = self.store.streams.get_key_value(name) {
            return (name.clone(), stream.clone());
        }
        let number = self.store.streams.len() as StreamNumber + self.new_streams;
        self.new_streams += 1;
        (name.into(), Stream { number, last: None, tombstoned: false })
    }

    fn add(&mut self, name: Arc<str>, stream: Stream, records: Vec<Record>) {
        let Stream { number, last, tombstoned } = stream;
        let row = StreamRow { name: name.clone(), number, last, tombstoned };
        match self.change.streams.iter_mut().find(|row| row.number == number) {
            Some(known) => *known = row,
            None => self.change.streams.push(row),
        }
        self.change.head = self.head;
        self.change.records.extend(records.iter().cloned());
        let drafted = self.streams.entry(name).or_insert_with(|| Drafted {
            stream: stream.clone(),
            records: Vec::new(),
            ids: HashMap::new(),
        });
        drafted.stream = stream;
        // A tombstone is in the log only.
        for record in records.into_iter().filter(|record| record.revision != crate::LAST_REVISION) {
            drafted.ids.entry(record.id).or_insert(record.revision);
            drafted.records.push(record);
        }
    }

    /// An id for an event of the store's own.
    pub(crate) fn new_id(&self) -> u128 {
        self.store.new_id(self.head)
    }
}
