//! Reading events of a segment through a part of it that is held in memory. Events are slices of that part.

use std::sync::Arc;

use bytes::Bytes;
use store_core::StorageError;

use crate::form::aligned;
use crate::frame::{FRAME_HEAD, FrameHead, RECORD_HEAD, Unnamed, said_length};
use crate::shared::{Part, Shared};

/// What is read for one event whose length is not known.
pub const SINGLE: u64 = 1024;
/// What is read at once for many.
pub const MANY: u64 = 128 * 1024;

/// A part of a segment.
pub struct Window<'a> {
    shared: &'a Shared,
    number: u32,
    /// Where the segment ends.
    end: u64,
    start: u64,
    bytes: Bytes,
    nameless: Arc<str>,
}

impl<'a> Window<'a> {
    pub fn new(shared: &'a Shared, number: u32, end: u64) -> Self {
        Self { shared, number, end, start: 0, bytes: Bytes::new(), nameless: Arc::from("") }
    }

    /// The event at an offset; when it has to be read, `ahead` bytes are.
    pub fn event(&mut self, offset: u64, ahead: u64) -> Result<Unnamed, StorageError> {
        let damaged = |window: &Self| window.damaged("the event", offset);
        let Some(head) = self.at(offset, RECORD_HEAD as u64, ahead)? else { return Err(damaged(self)) };
        let Some(length) = said_length(&head) else { return Err(damaged(self)) };
        let Some(bytes) = self.at(offset, length, ahead)? else { return Err(damaged(self)) };
        Unnamed::decode(&bytes, &self.nameless).ok_or_else(|| damaged(self))
    }

    /// What is to be said of a place that is not as it was written.
    pub fn damaged(&self, what: &str, offset: u64) -> StorageError {
        StorageError::Failed(format!(
            "{}: {what} at byte {offset} is damaged; `bin/server --check` reads the whole data folder, and what is damaged has to be put back from a copy of it",
            Part::Log(self.number).name()
        ))
    }

    fn at(&mut self, offset: u64, length: u64, ahead: u64) -> Result<Option<Bytes>, StorageError> {
        if offset + length > self.end {
            return Ok(None);
        }
        if offset < self.start || offset + length > self.start + self.bytes.len() as u64 {
            let mut bytes = vec![0; length.max(ahead).min(self.end - offset) as usize];
            self.shared.read(Part::Log(self.number), &mut bytes, offset)?;
            (self.start, self.bytes) = (offset, bytes.into());
        }
        let from = (offset - self.start) as usize;
        Ok(Some(self.bytes.slice(from..from + length as usize)))
    }
}

/// Events in the order of the log, from a place on.
pub struct Walk<'a> {
    window: Window<'a>,
    salt: u32,
    offset: u64,
    left: u32,
    /// Where the frame ends that is walked through, unless its head was not seen.
    frame_end: Option<u64>,
}

impl<'a> Walk<'a> {
    /// Begins at an event of whose frame `left` events are left.
    pub fn new(window: Window<'a>, salt: u32, offset: u64, left: u32) -> Self {
        Self { window, salt, offset, left, frame_end: None }
    }

    /// Where the next event, or the frame after it, begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next event and where it is, unless the segment ends.
    pub fn next(&mut self, ahead: u64) -> Result<Option<Unnamed>, StorageError> {
        while self.left == 0 {
            if !self.enter_frame(ahead)? {
                return Ok(None);
            }
        }
        let event = self.window.event(self.offset, ahead)?;
        self.offset += (RECORD_HEAD + event.record.encoded.len()) as u64;
        self.left -= 1;
        if self.left == 0 {
            self.offset = aligned(self.offset);
        }
        Ok(Some(event))
    }

    fn enter_frame(&mut self, ahead: u64) -> Result<bool, StorageError> {
        if self.offset >= self.window.end {
            return Ok(false);
        }
        let head = self.window.at(self.offset, FRAME_HEAD as u64, ahead)?;
        let head = head.and_then(|bytes| FrameHead::decode(&bytes, self.salt));
        let Some(head) = head.filter(|_| self.frame_end.is_none_or(|end| end == self.offset)) else {
            return Err(self.window.damaged("the frame", self.offset));
        };
        let start = self.offset + FRAME_HEAD as u64;
        self.frame_end = Some(start + u64::from(head.length));
        self.left = head.records;
        self.offset = start + u64::from(head.names);
        if self.left == 0 {
            self.offset = aligned(self.offset);
        }
        Ok(true)
    }
}
