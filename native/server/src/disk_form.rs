//! Keys and values of the storage on disk. Keys are big-endian, so that they sort as their numbers do.

use bytes::Bytes;
use fjall::Slice;
use store_core::{Record, StreamNumber, StreamRow};

/// Stands for "no event yet" in a stream's row; no revision is that high.
const NO_EVENT: u64 = u64::MAX;

/// The fields of a record that are not in its bytes.
const HEAD: usize = 8 + 16 + 8 + 1 + 5 * 4;

/// Takes numbers off the front of bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

pub fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

pub fn event_key(stream: StreamNumber, revision: u64) -> [u8; 12] {
    encode_place(stream, revision)
}

pub fn encode_place(stream: StreamNumber, revision: u64) -> [u8; 12] {
    let mut place = [0; 12];
    if let Some(head) = place.first_chunk_mut::<4>() {
        *head = stream.to_be_bytes();
    }
    if let Some(tail) = place.last_chunk_mut::<8>() {
        *tail = revision.to_be_bytes();
    }
    place
}

pub fn decode_place(bytes: &[u8]) -> Option<(StreamNumber, u64)> {
    let mut reader = Reader(bytes);
    Some((reader.u32()?, reader.u64()?))
}

pub fn id_key(stream: StreamNumber, id: u128) -> [u8; 20] {
    let mut key = [0; 20];
    if let Some(head) = key.first_chunk_mut::<4>() {
        *head = stream.to_be_bytes();
    }
    if let Some(tail) = key.last_chunk_mut::<16>() {
        *tail = id.to_be_bytes();
    }
    key
}

pub fn encode_record(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + record.encoded.len());
    bytes.extend(record.position.to_be_bytes());
    bytes.extend(record.id.to_be_bytes());
    bytes.extend(record.created.to_be_bytes());
    bytes.push(u8::from(record.json));
    let ((name, name_length), (kind, kind_length)) = (record.name_at, record.kind_at);
    for part in [name, name_length, kind, kind_length, record.data_length] {
        bytes.extend(part.to_be_bytes());
    }
    bytes.extend_from_slice(&record.encoded);
    bytes
}

pub fn decode_record(stream: StreamNumber, revision: u64, value: Slice) -> Option<Record> {
    let value = Bytes::from_owner(value);
    let mut reader = Reader(&value);
    let position = reader.u64()?;
    let id = reader.take().map(u128::from_be_bytes)?;
    let created = reader.u64()?;
    let json = reader.take::<1>()? != [0];
    let name_at = (reader.u32()?, reader.u32()?);
    let kind_at = (reader.u32()?, reader.u32()?);
    let data_length = reader.u32()?;
    let encoded = value.slice(HEAD.min(value.len())..);
    Some(Record { position, stream, revision, id, created, json, name_at, kind_at, data_length, encoded })
}

pub fn encode_row(row: &StreamRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + row.name.len());
    bytes.extend(row.last.unwrap_or(NO_EVENT).to_be_bytes());
    bytes.push(u8::from(row.tombstoned));
    bytes.extend_from_slice(row.name.as_bytes());
    bytes
}

pub fn decode_row(key: &[u8], value: &[u8]) -> Option<StreamRow> {
    let number = Reader(key).u32()?;
    let mut reader = Reader(value);
    let last = Some(reader.u64()?).filter(|last| *last != NO_EVENT);
    let tombstoned = reader.take::<1>()? != [0];
    let name = String::from_utf8(reader.0.to_vec()).ok()?;
    Some(StreamRow { name, number, last, tombstoned })
}
