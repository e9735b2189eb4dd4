//! Reading events of a segment through a part of it that is held in memory. Events are slices of that part, or are
//! looked at where they are.

use std::ops::Range;

use bytes::Bytes;
use store_core::StorageError;

use crate::form::aligned;
use crate::frame::{FRAME_HEAD, FrameHead, RECORD_HEAD, RecordHead, said_length};
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
}

/// An event that a window holds, as it was written.
pub struct Seen {
    pub head: RecordHead,
    /// Where its bytes are in the window.
    at: Range<usize>,
}

impl<'a> Window<'a> {
    pub fn new(shared: &'a Shared, number: u32, end: u64) -> Self {
        Self { shared, number, end, start: 0, bytes: Bytes::new() }
    }

    /// The event at an offset; when it has to be read, `ahead` bytes are.
    pub fn event(&mut self, offset: u64, ahead: u64) -> Result<Seen, StorageError> {
        let head = self.at(offset, RECORD_HEAD as u64, ahead)?;
        let length = head.and_then(|at| said_length(self.held(at)));
        let Some(length) = length else { return Err(self.damaged("the event", offset)) };
        let at = self.at(offset, length, ahead)?;
        let seen = at.and_then(|at| {
            let head = RecordHead::decode(self.held(at.clone()))?;
            Some(Seen { head, at: at.start + RECORD_HEAD..at.end })
        });
        seen.ok_or_else(|| self.damaged("the event", offset))
    }

    /// The bytes of an event, as readers get it.
    pub fn encoded(&self, event: &Seen) -> &[u8] {
        self.held(event.at.clone())
    }

    /// The same, to be kept; all that is held is kept with them.
    pub fn slice(&self, event: &Seen) -> Bytes {
        self.bytes.slice(event.at.clone())
    }

    fn held(&self, at: Range<usize>) -> &[u8] {
        self.bytes.get(at).unwrap_or_default()
    }

    /// What is to be said of a place that is not as it was written.
    pub fn damaged(&self, what: &str, offset: u64) -> StorageError {
        StorageError::Failed(format!(
            "{}: {what} at byte {offset} is damaged; `bin/server --check` reads the whole data folder, and what is damaged has to be put back from a copy of it",
            Part::Log(self.number).name()
        ))
    }

    /// Where so many bytes from an offset on are held; nothing if the segment ends before.
    fn at(&mut self, offset: u64, length: u64, ahead: u64) -> Result<Option<Range<usize>>, StorageError> {
        if offset + length > self.end {
            return Ok(None);
        }
        if offset < self.start || offset + length > self.start + self.bytes.len() as u64 {
            let mut bytes = vec![0; length.max(ahead).min(self.end - offset) as usize];
            self.shared.read(Part::Log(self.number), &mut bytes, offset)?;
            (self.start, self.bytes) = (offset, bytes.into());
        }
        let from = (offset - self.start) as usize;
        Ok(Some(from..from + length as usize))
    }
}

/// Events in the order of the log, from a place on.
pub struct Walk<'a> {
    pub window: Window<'a>,
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
    pub fn next(&mut self, ahead: u64) -> Result<Option<Seen>, StorageError> {
        while self.left == 0 {
            if !self.enter_frame(ahead)? {
                return Ok(None);
            }
        }
        let event = self.window.event(self.offset, ahead)?;
        self.offset += (RECORD_HEAD + event.at.len()) as u64;
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
        let head = head.and_then(|at| FrameHead::decode(self.window.held(at), self.salt));
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
