//! Reading a segment from its start, and judging where it ends.

use std::io;

use store_core::StreamNumber;

use crate::files::{File, read_exact};
use crate::form::aligned;
use crate::frame::{self, FRAME_HEAD, FrameHead};
use crate::index::Index;
use crate::segment::{HEAD, Head};

/// How much of a file is read at once.
const CHUNK: usize = 1024 * 1024;

/// What the frames of a segment make.
#[derive(Debug)]
pub struct Scanned {
    /// Where everything is.
    pub index: Index,
    /// Where the last frame ends.
    pub end: u64,
    /// The number of the next frame.
    pub frame: u64,
    /// The checksum of the last frame.
    pub chain: u32,
    /// The position after it.
    pub position: u64,
    /// How many streams there are.
    pub streams: StreamNumber,
    /// What is wrong with a frame that was whole, or with what follows the last one.
    pub damage: Option<(u64, String)>,
}

/// Reads every frame from the first on, until there is none.
pub fn scan(file: &dyn File, head: &Head) -> io::Result<Scanned> {
    let mut view = View { file, length: file.length()?, start: 0, bytes: Vec::new() };
    let mut scanned = Scanned {
        index: Index::default(),
        end: HEAD,
        frame: head.frame,
        chain: head.former_chain,
        position: head.position,
        streams: head.streams,
        damage: None,
    };
    while scanned.damage.is_none() {
        let Some((frame, bytes)) = view.frame(scanned.end, head.salt())? else { break };
        if frame.number != scanned.frame || frame.former != scanned.chain {
            break;
        }
        if let Err(what) = scanned.take(&frame, bytes) {
            scanned.damage = Some((scanned.end, what));
        }
    }
    Ok(scanned)
}

impl Scanned {
    /// A frame has the right checksum; that it makes sense is looked at nevertheless.
    fn take(&mut self, frame: &FrameHead, bytes: &[u8]) -> Result<(), String> {
        let malformed = || format!("frame {} makes no sense", frame.number);
        let body = bytes.get(FRAME_HEAD..).ok_or_else(malformed)?;
        let (names, records) = body.split_at_checked(frame.names as usize).ok_or_else(malformed)?;
        for (number, name) in frame::names(names).ok_or_else(malformed)? {
            if number != self.streams {
                return Err(format!("stream {number} comes where {} should", self.streams));
            }
            self.streams += 1;
            self.index.names.push((number, name));
        }
        let at = self.end + FRAME_HEAD as u64 + u64::from(frame.names);
        let entries = frame::entries(records, frame.records).ok_or_else(malformed)?;
        for (left, (offset, entry)) in (1..=frame.records).rev().zip(entries) {
            if entry.stream >= self.streams || entry.position < self.position {
                return Err(malformed());
            }
            self.position = entry.position;
            if !self.index.add(entry, at + offset, left) {
                return Err(format!("revision {} comes out of its order", entry.revision));
            }
        }
        self.end += bytes.len() as u64;
        (self.frame, self.chain, self.position) = (frame.number + 1, frame.crc, frame.position);
        Ok(())
    }
}

/// Whether what follows the last frame of the last segment shows that frames are lost there: a whole frame of a batch
/// that began later, which was written when everything before it was kept. Its offset.
pub fn later_batch(file: &dyn File, head: &Head, end: u64) -> io::Result<Option<u64>> {
    let mut view = View { file, length: file.length()?, start: 0, bytes: Vec::new() };
    let mut offset = aligned(end);
    while let Some(found) = view.next_candidate(offset, head.salt())? {
        if let Some((frame, _)) = view.frame(found, head.salt())?
            && u64::from(frame.batch) > end
        {
            return Ok(Some(found));
        }
        offset = found + 8;
    }
    Ok(None)
}

/// A part of a file, in memory.
struct View<'a> {
    file: &'a dyn File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl View<'_> {
    /// Bytes of the file; nothing if it ends before.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + length as u64 > self.length {
            return Ok(None);
        }
        let held = offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            let wanted = length.max(CHUNK).min((self.length - offset) as usize);
            self.bytes.resize(wanted, 0);
            read_exact(self.file, &mut self.bytes, offset)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + length))
    }

    /// The whole frame at an offset.
    fn frame(&mut self, offset: u64, salt: u32) -> io::Result<Option<(FrameHead, &[u8])>> {
        let head = self.at(offset, FRAME_HEAD)?.and_then(|bytes| FrameHead::decode(bytes, salt));
        let Some(head) = head else { return Ok(None) };
        let bytes = self.at(offset, FRAME_HEAD + head.length as usize)?;
        Ok(bytes.filter(|bytes| head.checks(bytes)).map(|bytes| (head, bytes)))
    }

    /// The next offset at which there may be a frame.
    fn next_candidate(&mut self, from: u64, salt: u32) -> io::Result<Option<u64>> {
        let mut offset = from;
        while offset + FRAME_HEAD as u64 <= self.length {
            let length = ((self.length - offset) as usize).min(CHUNK);
            let Some(bytes) = self.at(offset, length)? else { return Ok(None) };
            let places = 0..=(length - FRAME_HEAD) / 8;
            let found = places.map(|place| place * 8).find(|place| {
                bytes.get(*place..).is_some_and(|bytes| FrameHead::decode(bytes, salt).is_some())
            });
            match found {
                Some(place) => return Ok(Some(offset + place as u64)),
                None => offset += ((length - FRAME_HEAD) / 8 * 8 + 8) as u64,
            }
        }
        Ok(None)
    }
}
