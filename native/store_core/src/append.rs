//! Appending to a stream.

use bytes::Bytes;

use crate::Ticks;
use crate::limits::{metadata_stream, with_truncation};
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

impl Store {
    /// Appends events to a stream if it is as expected.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`]; nothing is written then.
    pub fn append(
        &mut self,
        name: &str,
        expected: Expected,
        events: &[NewEvent],
        now: Ticks,
    ) -> Result<Appended, Fault> {
        let last = self.writable(name)?.and_then(|stream| stream.last);
        let deleted = last.is_some() && self.limits_of(name).deleted();
        if deleted && expected == Expected::StreamExists {
            return Err(Fault::StreamDeleted(name.to_owned()));
        }
        match self.judge(name, expected, events, deleted)? {
            Repeat::Wrong => Ok(Appended::Wrong { current: last }),
            Repeat::Known { revision, position } => {
                Ok(Appended::Done { revision: Some(revision), position: position.filter(|_| !deleted) })
            }
            Repeat::New if events.is_empty() => {
                Ok(Appended::Done { revision: last, position: Some(self.skip()?) })
            }
            Repeat::New => {
                let written = self.put(name, events, now)?;
                self.undelete(name, last, deleted, now)?;
                let (revision, position) = written
                    .map_or((last, None), |record: Record| (Some(record.revision), Some(record.position)));
                Ok(Appended::Done { revision, position })
            }
        }
    }

    /// A deleted stream that is written to, or described anew, begins after what was deleted.
    fn undelete(&mut self, name: &str, last: Option<u64>, deleted: bool, now: Ticks) -> Result<(), Fault> {
        if deleted {
            let before = last.map_or(0, |last| last + 1);
            return self.describe(name, before, now);
        }
        let Some(described) = name.strip_prefix("$$").map(str::to_owned) else { return Ok(()) };
        let was_deleted = match last.filter(|_| !described.starts_with("$$")) {
            Some(last) => {
                self.metadata_at(name, last)?.is_some_and(|record| crate::Limits::of(&record).deleted())
            }
            None => false,
        };
        let next = self.next_revision(&described);
        if was_deleted && next > 0 && !self.limits_of(&described).deleted() {
            return self.describe(&described, next, now);
        }
        Ok(())
    }

    /// Writes a stream's metadata once more, with another start.
    fn describe(&mut self, name: &str, before: u64, now: Ticks) -> Result<(), Fault> {
        let metadata = metadata_stream(name);
        let current = match self.next_revision(&metadata).checked_sub(1) {
            Some(last) => self.metadata_at(&metadata, last)?,
            None => None,
        };
        let data = with_truncation(current.as_ref(), before);
        self.put_metadata(&metadata, data, now).map(|_| ())
    }

    pub(crate) fn put_metadata(&mut self, metadata: &str, data: Vec<u8>, now: Ticks) -> Result<u64, Fault> {
        let event = NewEvent {
            id: self.new_id(),
            kind: "$metadata".to_owned(),
            json: true,
            data: data.into(),
            custom: Bytes::new(),
        };
        let written = self.put(metadata, &[event], now)?;
        Ok(written.map_or(self.head, |record| record.position))
    }

    fn metadata_at(&self, name: &str, revision: u64) -> Result<Option<Record>, Fault> {
        match self.streams.get(name) {
            Some(stream) => Ok(self.storage.event(stream.number, revision)?),
            None => Ok(None),
        }
    }
}
