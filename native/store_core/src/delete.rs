//! Deleting a stream softly, and for ever.

use bytes::Bytes;

use crate::append::NewEvent;
use crate::draft::Draft;
use crate::limits::metadata_stream;
use crate::store::{Expected, Fault, Store};
use crate::{LAST_REVISION, Ticks};

/// The outcome of a delete that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is deleted; the position of the event that says so.
    Done(u64),
    /// The stream is not as expected.
    Wrong {
        /// The revision of its last event.
        current: Option<u64>,
    },
}

impl Draft<'_> {
    /// Deletes a stream softly: its events are not read any more, and the next one continues their revisions. One
    /// that has only metadata can be deleted, too, and begins at 0.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`]; nothing is to be written then.
    pub fn delete(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        let last = self.writable(name)?.and_then(|stream| stream.last);
        let metadata = metadata_stream(name);
        let missing = last.is_none() && self.next_revision(&metadata) == 0;
        if missing || self.refused(name, expected, last)? {
            return Ok(Deleted::Wrong { current: last });
        }
        let data = format!("{{\"$tb\":{LAST_REVISION}}}").into_bytes();
        Ok(Deleted::Done(self.put_metadata(&metadata, data, now)))
    }

    /// Deletes a stream for ever.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`]; nothing is to be written then.
    pub fn tombstone(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        let last = self.writable(name)?.and_then(|stream| stream.last);
        if self.refused(name, expected, last)? {
            return Ok(Deleted::Wrong { current: last });
        }
        let event = NewEvent {
            id: self.new_id(),
            kind: "$streamDeleted".to_owned(),
            json: false,
            data: Bytes::new(),
            custom: Bytes::new(),
        };
        Ok(Deleted::Done(self.put_tombstone(name, &event, now)))
    }

    fn refused(&self, name: &str, expected: Expected, last: Option<u64>) -> Result<bool, Fault> {
        let deleted = self.deleted(name);
        match (expected, last) {
            (Expected::StreamExists, _) if deleted => Err(Fault::StreamDeleted(name.to_owned())),
            (Expected::Any, _) | (Expected::NoStream, None) | (Expected::StreamExists, Some(_)) => Ok(false),
            (Expected::NoStream, Some(_)) => Ok(!deleted),
            (Expected::Revision(revision), Some(last)) => Ok(revision != last),
            (Expected::StreamExists | Expected::Revision(_), None) => Ok(true),
        }
    }
}

impl Store {
    /// [`Draft::delete`], written at once as [`Store::write`] does.
    ///
    /// # Errors
    /// Those of [`Draft::delete`].
    pub fn delete(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        self.write(|draft| draft.delete(name, expected, now))
    }

    /// [`Draft::tombstone`], written at once as [`Store::write`] does.
    ///
    /// # Errors
    /// Those of [`Draft::tombstone`].
    pub fn tombstone(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        self.write(|draft| draft.tombstone(name, expected, now))
    }
}
