//! One event, encoded once, when it is appended: its bytes are those of the wire's `RecordedEvent`.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::event::NewEvent;
use crate::units::Ticks;

/// The number under which a stream's events are kept; streams are numbered from 0 in the order of their first event.
pub type StreamNumber = u32;

/// An event of the log.
///
/// `encoded` begins with the id as text (always [`Record::ID_LENGTH`] bytes), so that whoever wants another form
/// of the id sends that and then the rest. It ends with the data. The stream's name is not in it: a stream of many
/// events has one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the event is in the log.
    pub position: u64,
    /// The number of its stream.
    pub stream: StreamNumber,
    /// Its number in its stream.
    pub revision: u64,
    /// Its id.
    pub id: u128,
    /// When it was appended.
    pub created: Ticks,
    /// Whether the client said that the data is JSON.
    pub json: bool,
    /// The name of its stream; all events of a stream share it.
    pub name: Arc<str>,
    /// Where the type lies in `encoded`: start and length.
    pub kind_at: (u32, u32),
    /// How many of the last bytes of `encoded` are the data.
    pub data_length: u32,
    /// The event as readers get it, but for the field with its stream's name, which goes behind the id.
    pub encoded: Bytes,
}

/// An event that is borrowed from where it is kept; its fields are those of [`Record`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct RecordView<'a> {
    pub position: u64,
    pub stream: StreamNumber,
    pub revision: u64,
    pub id: u128,
    pub created: Ticks,
    pub json: bool,
    pub name: &'a Arc<str>,
    pub kind_at: (u32, u32),
    pub data_length: u32,
    pub encoded: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// How many bytes the event takes where it is sent, about.
    #[must_use]
    pub fn sent_length(&self) -> usize {
        self.encoded.len() + self.name.len()
    }

    /// The event's type.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        std::str::from_utf8(self.kind_bytes()).unwrap_or_default()
    }

    pub(crate) fn kind_bytes(&self) -> &'a [u8] {
        let (start, length) = self.kind_at;
        self.encoded.get(start as usize..start as usize + length as usize).unwrap_or_default()
    }

    /// The event's data.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        let start = self.encoded.len().saturating_sub(self.data_length as usize);
        self.encoded.get(start..).unwrap_or_default()
    }

    /// The event, to be kept.
    #[must_use]
    pub fn to_record(&self) -> Record {
        let Self { position, stream, revision, id, created, json, name, kind_at, data_length, encoded } =
            *self;
        let (name, encoded) = (name.clone(), Bytes::copy_from_slice(encoded));
        Record { position, stream, revision, id, created, json, name, kind_at, data_length, encoded }
    }
}

/// Where an event goes.
pub(crate) struct Place<'a> {
    pub position: u64,
    pub stream: StreamNumber,
    pub name: &'a Arc<str>,
    pub revision: u64,
    pub created: Ticks,
}

impl Record {
    /// How many bytes of `encoded` the id takes.
    pub const ID_LENGTH: usize = 40;

    /// The name of the event's stream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event, borrowed.
    #[must_use]
    pub fn view(&self) -> RecordView<'_> {
        let Self { position, stream, revision, id, created, json, name, kind_at, data_length, encoded } =
            self;
        RecordView {
            position: *position,
            stream: *stream,
            revision: *revision,
            id: *id,
            created: *created,
            json: *json,
            name,
            kind_at: *kind_at,
            data_length: *data_length,
            encoded,
        }
    }

    /// How many bytes the event takes where it is sent, about.
    #[must_use]
    pub fn sent_length(&self) -> usize {
        self.view().sent_length()
    }

    /// The event's type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.view().kind()
    }

    /// The event's data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.view().data()
    }

    pub(crate) fn new(event: &NewEvent, place: &Place<'_>) -> Self {
        let created = place.created.to_string();
        let content = if event.json { "application/json" } else { "application/octet-stream" };
        let mut out = BytesMut::with_capacity(180 + event.kind.len() + event.custom.len() + event.data.len());
        put_id(&mut out, event.id);
        put_number(&mut out, 3, place.revision);
        put_number(&mut out, 4, place.position);
        put_number(&mut out, 5, place.position);
        put_entry(&mut out, "content-type", content);
        put_entry(&mut out, "created", &created);
        put_entry(&mut out, "type", &event.kind);
        let kind_at = behind(&out, event.kind.len());
        if !event.custom.is_empty() {
            put_bytes(&mut out, 7, &event.custom);
        }
        if !event.data.is_empty() {
            put_bytes(&mut out, 8, &event.data);
        }
        Self {
            position: place.position,
            stream: place.stream,
            revision: place.revision,
            id: event.id,
            created: place.created,
            json: event.json,
            name: place.name.clone(),
            kind_at,
            data_length: event.data.len() as u32,
            encoded: out.freeze(),
        }
    }
}

const VARINT: u8 = 0;
const LENGTH: u8 = 2;

/// Where the text lies that was written last.
fn behind(out: &BytesMut, length: usize) -> (u32, u32) {
    ((out.len() - length) as u32, length as u32)
}

fn put_id(out: &mut BytesMut, id: u128) {
    put_key(out, 1, LENGTH);
    put_varint(out, 38);
    put_key(out, 2, LENGTH);
    put_varint(out, 36);
    for index in 0..32_u32 {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.put_u8(b'-');
        }
        let digit = ((id >> (124 - 4 * index)) & 0xf) as u32;
        out.put_u8(char::from_digit(digit, 16).unwrap_or('0') as u8);
    }
}

fn put_entry(out: &mut BytesMut, key: &str, value: &str) {
    put_key(out, 6, LENGTH);
    let length = |text: &str| 1 + varint_length(text.len() as u64) + text.len() as u64;
    put_varint(out, length(key) + length(value));
    put_bytes(out, 1, key.as_bytes());
    put_bytes(out, 2, value.as_bytes());
}

fn put_number(out: &mut BytesMut, field: u8, value: u64) {
    if value != 0 {
        put_key(out, field, VARINT);
        put_varint(out, value);
    }
}

fn put_bytes(out: &mut BytesMut, field: u8, bytes: &[u8]) {
    put_key(out, field, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_key(out: &mut BytesMut, field: u8, kind: u8) {
    out.put_u8(field << 3 | kind);
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint_length(value: u64) -> u64 {
    u64::from((63 - (value | 1).leading_zeros()) / 7 + 1)
}
