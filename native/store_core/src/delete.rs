//! Deleting a stream softly, and for ever.

use bytes::Bytes;

use crate::append::NewEvent;
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

impl Store {
    /// Deletes a stream softly: its events are not read any more, and the next one continues their revisions.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`].
    pub fn delete(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        let Some(last) = self.writable(name)?.and_then(|stream| stream.last) else {
            return Ok(Deleted::Wrong { current: None });
        };
        if let Some(wrong) = self.refuse(name, expected, Some(last))? {
            return Ok(wrong);
        }
        let data = format!("{{\"$tb\":{LAST_REVISION}}}").into_bytes();
        self.put_metadata(&metadata_stream(name), data, now).map(Deleted::Done)
    }

    /// Deletes a stream for ever.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`].
    pub fn tombstone(&mut self, name: &str, expected: Expected, now: Ticks) -> Result<Deleted, Fault> {
        let last = self.writable(name)?.and_then(|stream| stream.last);
        if let Some(wrong) = self.refuse(name, expected, last)? {
            return Ok(wrong);
        }
        let event = NewEvent {
            id: self.new_id(),
            kind: "$streamDeleted".to_owned(),
            json: false,
            data: Bytes::new(),
            custom: Bytes::new(),
        };
        self.put_tombstone(name, &event, now).map(Deleted::Done)
    }

    fn refuse(&self, name: &str, expected: Expected, last: Option<u64>) -> Result<Option<Deleted>, Fault> {
        let deleted = last.is_some() && self.limits_of(name).deleted();
        let as_expected = match (expected, last) {
            (Expected::StreamExists, Some(_)) if deleted => {
                return Err(Fault::StreamDeleted(name.to_owned()));
            }
            (Expected::Any, _) | (Expected::NoStream, None) | (Expected::StreamExists, Some(_)) => true,
            (Expected::NoStream, Some(_)) => deleted,
            (Expected::Revision(revision), Some(last)) => revision == last,
            (Expected::StreamExists | Expected::Revision(_), None) => false,
        };
        Ok((!as_expected).then_some(Deleted::Wrong { current: last }))
    }
}
