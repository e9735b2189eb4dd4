//! Frames: one decided request each, with the names of streams that are new and its events.

use std::sync::Arc;

use bytes::Bytes;
use store_core::{Record, RecordView, StreamNumber, Write};

use crate::form::{Put as _, Reader, aligned};

/// How many bytes the head of a frame takes.
pub const FRAME_HEAD: usize = 56;
/// How many bytes the head of an event takes.
pub const RECORD_HEAD: usize = 68;
/// A request may not take more of the log than this.
pub const MAX_FRAME: u64 = 1 << 30;

const MAGIC: u32 = 0x6d52_4650;
/// The head without its checksum.
const CHECKED_HEAD: usize = FRAME_HEAD - 4;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// How many bytes follow it.
    pub length: u32,
    /// Its number; frames are numbered from 0 through the whole log.
    pub number: u64,
    /// The position after it.
    pub position: u64,
    /// The offset in the segment at which its batch begins: what is before that was kept when this was written.
    pub batch: u32,
    /// How many bytes of names follow.
    pub names: u32,
    /// How many events.
    pub records: u32,
    /// The checksum of the frame before.
    pub former: u32,
    /// What all frames of the segment carry.
    pub salt: u32,
    /// The checksum.
    pub crc: u32,
}

impl FrameHead {
    /// The head at the start of bytes, if there can be one.
    pub fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u32()? != MAGIC {
            return None;
        }
        let length = reader.u32()?;
        let number = reader.u64()?;
        let position = reader.u64()?;
        let (batch, names, records) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (former, found) = (reader.u32()?, reader.u32()?);
        if reader.u64()? != 0 || found != salt || u64::from(length) > MAX_FRAME || !length.is_multiple_of(8) {
            return None;
        }
        Some(Self { length, number, position, batch, names, records, former, salt, crc: reader.u32()? })
    }

    /// Whether a whole frame, its head first, is as it was written.
    pub fn checks(&self, frame: &[u8]) -> bool {
        let (Some(head), Some(body)) = (frame.get(..CHECKED_HEAD), frame.get(FRAME_HEAD..)) else {
            return false;
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(head);
        hasher.update(body);
        hasher.finalize() == self.crc
    }
}

/// Where a frame goes.
pub struct FramePlace {
    pub number: u64,
    pub batch: u32,
    pub former: u32,
    pub salt: u32,
    /// How many streams have names already.
    pub streams: StreamNumber,
}

/// How many bytes a change takes as a frame.
pub fn frame_length(change: &Write, streams: StreamNumber) -> u64 {
    let records: u64 = change.records.iter().map(record_length).sum();
    aligned(FRAME_HEAD as u64 + names_length(change, streams) + records)
}

/// How many bytes of a frame are before its first event.
pub fn before_records(change: &Write, streams: StreamNumber) -> u64 {
    FRAME_HEAD as u64 + names_length(change, streams)
}

/// How many bytes an event takes.
pub fn record_length(record: &Record) -> u64 {
    (RECORD_HEAD + record.encoded.len()) as u64
}

fn names_length(change: &Write, streams: StreamNumber) -> u64 {
    let new = change.streams.iter().filter(|row| row.number >= streams);
    new.map(|row| 8 + row.name.len() as u64).sum()
}

/// Adds a change as a frame; its checksum.
pub fn encode(out: &mut Vec<u8>, change: &Write, place: &FramePlace) -> u32 {
    let start = out.len();
    out.put_u32(MAGIC);
    out.put_u32((frame_length(change, place.streams) - FRAME_HEAD as u64) as u32);
    out.put_u64(place.number);
    out.put_u64(change.head);
    out.put_u32(place.batch);
    out.put_u32(names_length(change, place.streams) as u32);
    out.put_u32(change.records.len() as u32);
    out.put_u32(place.former);
    out.put_u32(place.salt);
    out.put_u64(0);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(out.get(start..).unwrap_or_default());
    out.put_u32(0);
    for row in change.streams.iter().filter(|row| row.number >= place.streams) {
        out.put_u32(row.number);
        out.put_u32(row.name.len() as u32);
        out.put(row.name.as_bytes());
    }
    for record in &change.records {
        encode_record(out, record);
    }
    out.resize(start + aligned((out.len() - start) as u64) as usize, 0);
    hasher.update(out.get(start + FRAME_HEAD..).unwrap_or_default());
    let crc = hasher.finalize();
    if let Some(place) = out.get_mut(start + CHECKED_HEAD..start + FRAME_HEAD) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    crc
}

fn encode_record(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.put_u32(0);
    out.put_u32(record_length(record) as u32);
    out.put_u64(record.position);
    out.put_u64(record.revision);
    out.put_u32(record.stream);
    out.put_u32(record.kind_at.0);
    out.put_u32(record.kind_at.1);
    out.put_u32(record.data_length);
    out.put_u64(record.created);
    out.put_u32(u32::from(record.json));
    out.put_u128(record.id);
    out.put(&record.encoded);
    let crc = crc32fast::hash(out.get(start + 4..).unwrap_or_default());
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// The length that an event's head says, if it can be one.
pub fn said_length(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader(bytes);
    reader.u32()?;
    let length = u64::from(reader.u32()?);
    (length >= RECORD_HEAD as u64 && length <= MAX_FRAME).then_some(length)
}

/// What the head of an event says.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead {
    pub position: u64,
    pub revision: u64,
    pub stream: StreamNumber,
    kind_at: (u32, u32),
    data_length: u32,
    created: u64,
    json: bool,
    pub id: u128,
}

impl RecordHead {
    /// The head of the event in bytes that hold just it; nothing if anything of it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let crc = reader.u32()?;
        if crc32fast::hash(reader.0) != crc || u64::from(reader.u32()?) != bytes.len() as u64 {
            return None;
        }
        Some(Self {
            position: reader.u64()?,
            revision: reader.u64()?,
            stream: reader.u32()?,
            kind_at: (reader.u32()?, reader.u32()?),
            data_length: reader.u32()?,
            created: reader.u64()?,
            json: reader.u32()? != 0,
            id: reader.u128()?,
        })
    }

    /// The event, borrowed.
    pub fn view<'a>(&self, name: &'a Arc<str>, encoded: &'a [u8]) -> RecordView<'a> {
        let Self { position, revision, stream, kind_at, data_length, created, json, id } = *self;
        RecordView { position, stream, revision, id, created, json, name, kind_at, data_length, encoded }
    }

    /// The event.
    pub fn record(&self, name: &Arc<str>, encoded: Bytes) -> Record {
        let Self { position, revision, stream, kind_at, data_length, created, json, id } = *self;
        let name = name.clone();
        Record { position, stream, revision, id, created, json, name, kind_at, data_length, encoded }
    }
}

/// The names of new streams in a frame; nothing if they are malformed.
pub fn names(bytes: &[u8]) -> Option<Vec<(StreamNumber, Arc<str>)>> {
    let (mut reader, mut names) = (Reader(bytes), Vec::new());
    while !reader.0.is_empty() {
        let number = reader.u32()?;
        let length = reader.u32()? as usize;
        names.push((number, std::str::from_utf8(reader.bytes(length)?).ok()?.into()));
    }
    Some(names)
}

/// The heads of the events in a frame: offset within `bytes`, then what an index wants to know.
pub fn entries(bytes: &[u8], count: u32) -> Option<Vec<(u64, Entry)>> {
    let mut entries = Vec::with_capacity(count as usize);
    let mut offset = 0;
    for _ in 0..count {
        let rest = bytes.get(offset..)?;
        let length = said_length(rest)? as usize;
        let mut reader = Reader(rest.get(..length)?);
        let crc = reader.u32()?;
        if crc32fast::hash(reader.0) != crc {
            return None;
        }
        reader.u32()?;
        let (position, revision, stream) = (reader.u64()?, reader.u64()?, reader.u32()?);
        reader.bytes(3 * 4 + 8 + 4)?;
        entries.push((offset as u64, Entry { position, revision, stream, id: reader.u128()? }));
        offset += length;
    }
    (bytes.len() - offset < 8).then_some(entries)
}

/// What an index wants to know of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: u64,
    pub revision: u64,
    pub stream: StreamNumber,
    pub id: u128,
}

impl Entry {
    /// That of an event.
    pub fn of(record: &Record) -> Self {
        let Record { position, revision, stream, id, .. } = *record;
        Self { position, revision, stream, id }
    }
}
