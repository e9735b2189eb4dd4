//! The change that one request makes, while it is decided.

use std::sync::Arc;

use crate::draft::Draft;
use crate::event::NewEvent;
use crate::limits::metadata_stream;
use crate::record::{Place, Record};
use crate::store::{OVERHEAD, Stream};
use crate::units::{LAST_REVISION, Ticks};
use crate::write::{StreamRow, Write};

/// A change that is being put together, in view of a draft that it leaves as it is.
pub(crate) struct Plan<'a> {
    pub draft: &'a Draft<'a>,
    now: Ticks,
    head: u64,
    write: Write,
}

impl<'a> Plan<'a> {
    /// No change yet.
    pub fn new(draft: &'a Draft<'a>, now: Ticks) -> Self {
        Self { draft, now, head: draft.head(), write: Write::default() }
    }

    /// The change, if there is one.
    pub fn done(self) -> Option<Write> {
        (self.write.head != 0).then_some(self.write)
    }

    /// Takes a piece of the log for nothing; where it is.
    pub fn skip(&mut self) -> u64 {
        let position = self.head;
        self.head += OVERHEAD;
        self.write.head = self.head;
        position
    }

    /// Adds events to the end of a stream; the revision and the position of the last one.
    pub fn put(&mut self, name: &str, events: &[NewEvent]) -> Option<(u64, u64)> {
        let (name, mut stream) = self.known_or_new(name);
        let revisions = stream.last.map_or(0, |last| last + 1)..;
        self.write.records.reserve(events.len());
        let mut last = None;
        for (revision, event) in revisions.zip(events) {
            last = Some((revision, self.put_record(event, &name, &stream, revision)));
        }
        let (revision, position) = last?;
        stream.last = Some(revision);
        self.changed(name, stream);
        Some((revision, position))
    }

    /// Adds a tombstone; its position.
    pub fn put_tombstone(&mut self, name: &str, event: &NewEvent) -> u64 {
        let (name, mut stream) = self.known_or_new(name);
        let position = self.put_record(event, &name, &stream, LAST_REVISION);
        stream.tombstoned = true;
        self.changed(name, stream);
        position
    }

    /// Adds metadata of the store's own to a stream; its position.
    pub fn put_metadata(&mut self, described: &str, data: Vec<u8>) -> u64 {
        let event = NewEvent::metadata(self.new_id(), data);
        let put = self.put(&metadata_stream(described), &[event]);
        put.map_or(self.head, |(_, position)| position)
    }

    /// An id for an event of the store's own.
    pub fn new_id(&self) -> u128 {
        self.draft.store().new_id(self.head)
    }

    fn put_record(&mut self, event: &NewEvent, name: &Arc<str>, stream: &Stream, revision: u64) -> u64 {
        let position = self.head;
        let place = Place { position, stream: stream.number, name, revision, created: self.now };
        let record = Record::new(event, &place);
        self.head += OVERHEAD + record.encoded.len() as u64;
        self.write.records.push(record);
        position
    }

    fn known_or_new(&self, name: &str) -> (Arc<str>, Stream) {
        if let Some(row) = self.write.streams.iter().find(|row| *row.name == *name) {
            return (row.name.clone(), Stream::of(row));
        }
        if let Some((name, stream)) = self.draft.stream(name) {
            return (name.clone(), stream.clone());
        }
        let next = self.draft.next_number();
        let number = self.write.streams.iter().map(|row| row.number + 1).fold(next, u32::max);
        (name.into(), Stream { number, last: None, tombstoned: false })
    }

    fn changed(&mut self, name: Arc<str>, stream: Stream) {
        let Stream { number, last, tombstoned } = stream;
        self.write.put_row(StreamRow { name, number, last, tombstoned });
        self.write.head = self.head;
    }
}
