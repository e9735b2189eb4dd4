//! Appending to a stream.

use bytes::Bytes;

use crate::Ticks;
use crate::draft::Draft;
use crate::limits::{Limits, metadata_stream, with_truncation};
use crate::record::Record;
use crate::repeats::Repeat;
use crate::store::{Expected, Fault, Store};

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub id: u128,
    /// Its type.
    pub kind: String,
    /// Whether its data is said to be JSON.
    pub json: bool,
    /// Its data.
    pub data: Bytes,
    /// What the client keeps with it.
    pub custom: Bytes,
}

/// The outcome of an append that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The events are in the log.
    Done {
        /// The revision of the last event, unless the stream has none.
        revision: Option<u64>,
        /// Where the last event is, unless it is not to be read any more.
        position: Option<u64>,
    },
    /// The stream is not as expected.
    Wrong {
        /// The revision of its last event.
        current: Option<u64>,
    },
}

impl Draft<'_> {
    /// Appends events to a stream if it is as expected.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`]; nothing is to be written then.
    pub fn append(
        &mut self,
        name: &str,
        expected: Expected,
        events: &[NewEvent],
        now: Ticks,
    ) -> Result<Appended, Fault> {
        let last = self.writable(name)?.and_then(|stream| stream.last);
        let deleted = self.deleted(name);
        if deleted && expected == Expected::StreamExists {
            return Err(Fault::StreamDeleted(name.to_owned()));
        }
        match self.judge(name, expected, events, deleted)? {
            Repeat::Wrong => Ok(Appended::Wrong { current: last }),
            Repeat::Known { revision, position } => {
                Ok(Appended::Done { revision: Some(revision), position: position.filter(|_| !deleted) })
            }
            Repeat::New if events.is_empty() => {
                Ok(Appended::Done { revision: last, position: Some(self.skip()) })
            }
            Repeat::New => {
                let revived = self.revived(name, last, deleted, events)?;
                let written = self.put(name, events, now);
                if let Some((described, data)) = revived {
                    self.put_metadata(&metadata_stream(&described), data, now);
                }
                let (revision, position) = written
                    .map_or((last, None), |record: Record| (Some(record.revision), Some(record.position)));
                Ok(Appended::Done { revision, position })
            }
        }
    }

    /// A deleted stream that is written to, or described anew, begins after what was deleted: the stream and the
    /// metadata that says so, which belongs to the same change.
    fn revived(
        &self,
        name: &str,
        last: Option<u64>,
        deleted: bool,
        events: &[NewEvent],
    ) -> Result<Option<(String, Vec<u8>)>, Fault> {
        if deleted {
            let current = self.metadata(name)?;
            let current = current.as_ref().map(|record| (record.json, record.data()));
            let before = last.map_or(0, |last| last + 1);
            return Ok(Some((name.to_owned(), with_truncation(current, before))));
        }
        let (Some(described), Some(event)) = (name.strip_prefix("$$"), events.last()) else {
            return Ok(None);
        };
        let next = self.next_revision(described);
        let stays_deleted = Limits::of_data(event.json, &event.data).deleted();
        if !self.deleted(described) || next == 0 || stays_deleted {
            return Ok(None);
        }
        Ok(Some((described.to_owned(), with_truncation(Some((event.json, &event.data)), next))))
    }

    /// The last event of a stream's metadata.
    fn metadata(&self, name: &str) -> Result<Option<Record>, Fault> {
        let metadata = metadata_stream(name);
        match self.next_revision(&metadata).checked_sub(1) {
            Some(last) => self.event(&metadata, last),
            None => Ok(None),
        }
    }

    /// Adds metadata of the store's own; its position.
    pub(crate) fn put_metadata(&mut self, metadata: &str, data: Vec<u8>, now: Ticks) -> u64 {
        let event = NewEvent {
            id: self.new_id(),
            kind: "$metadata".to_owned(),
            json: true,
            data: data.into(),
            custom: Bytes::new(),
        };
        self.put(metadata, &[event], now).map_or(self.head(), |record| record.position)
    }
}

impl Store {
    /// [`Draft::append`], written at once as [`Store::write`] does.
    ///
    /// # Errors
    /// Those of [`Draft::append`].
    pub fn append(
        &mut self,
        name: &str,
        expected: Expected,
        events: &[NewEvent],
        now: Ticks,
    ) -> Result<Appended, Fault> {
        self.write(|draft| draft.append(name, expected, events, now))
    }
}
