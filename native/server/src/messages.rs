//! What the server answers with, as the bytes that go over the wire.

use bytes::Bytes;
use prost::encoding::encoded_len_varint;
use store_core::{Pair, PairView, Record, RecordView};

/// Messages one after the other, each with the head that gRPC gives it.
#[derive(Clone, Debug, Default)]
pub struct Messages(Vec<u8>);

/// The form of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As text, as the store has them.
    Text,
    /// As two numbers.
    Structured,
}

/// What is written of an event besides its own bytes and its stream's name, at most.
const AROUND: usize = 128;

impl Messages {
    /// A message of the protocol, by itself.
    pub fn of(message: &impl prost::Message) -> Self {
        let mut messages = Self::default();
        messages.push(message);
        messages
    }

    /// None yet, and room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Events, in one form of ids.
    pub fn events(events: &[Pair], ids: Ids) -> Self {
        let records = events.iter().flat_map(|pair| [&pair.event, &pair.link]).flatten();
        let mut messages = Self::with_room(records.map(|record| record.sent_length() + AROUND).sum());
        for pair in events {
            messages.push_event(&pair.view(), ids);
        }
        messages
    }

    /// Adds any message of the protocol.
    pub fn push(&mut self, message: &impl prost::Message) {
        self.put_head(message.encoded_len());
        self.0.extend_from_slice(&message.encode_to_vec());
    }

    /// Adds an event, which was encoded when it was appended.
    pub fn push_event(&mut self, pair: &PairView<'_>, ids: Ids) {
        let position = pair.link.or(pair.event).map_or(0, |record| record.position);
        let event = pair.event.as_ref().map(|record| (record, record_length(record, ids)));
        let link = pair.link.as_ref().map(|record| (record, record_length(record, ids)));
        let part = |part: Option<(_, usize)>| part.map_or(0, |(_, length)| field_length(length));
        let length = part(event) + part(link) + 1 + encoded_len_varint(position);
        self.put_head(field_length(length));
        let out = &mut self.0;
        put_length(out, EVENT, length);
        for (key, part) in [(EVENT, event), (LINK, link)] {
            if let Some((record, length)) = part {
                put_length(out, key, length);
                put_record(out, record, ids);
            }
        }
        put_number(out, COMMIT_POSITION, position);
    }

    /// Adds messages behind these.
    pub fn append(&mut self, others: Self) {
        if self.is_empty() {
            *self = others;
        } else {
            self.0.extend_from_slice(&others.0);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes they are.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Forgets what is beyond so many bytes, be it a part of a message.
    pub fn cut(&mut self, bytes: usize) {
        self.0.truncate(bytes);
    }

    /// Their bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// Not compressed, and so long. No event comes near 4 GB.
    fn put_head(&mut self, length: usize) {
        let [a, b, c, d] = (length as u32).to_be_bytes();
        self.0.extend_from_slice(&[0, a, b, c, d]);
    }
}

/// Keys of fields that hold so many bytes, and of fields that hold a number.
const fn of_bytes(field: u8) -> u8 {
    field << 3 | 2
}

const fn of_number(field: u8) -> u8 {
    field << 3
}

/// Of `ReadResp` and `ReadEvent`.
const EVENT: u8 = of_bytes(1);
const LINK: u8 = of_bytes(2);
const COMMIT_POSITION: u8 = of_number(3);
/// Of `RecordedEvent` and of its `StreamIdentifier`.
const ID: u8 = of_bytes(1);
const STREAM_IDENTIFIER: u8 = of_bytes(2);
const STREAM_NAME: u8 = of_bytes(3);
/// Of `UUID`, and of what it holds.
const STRUCTURED: u8 = of_bytes(1);
const MOST_SIGNIFICANT_BITS: u8 = of_number(1);
const LEAST_SIGNIFICANT_BITS: u8 = of_number(2);

#[inline]
fn field_length(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

#[inline]
fn record_length(record: &RecordView<'_>, ids: Ids) -> usize {
    let id = match ids {
        Ids::Text => Record::ID_LENGTH,
        Ids::Structured => field_length(field_length(Halves::of(record.id).length())),
    };
    record.encoded.len() - Record::ID_LENGTH + id + field_length(field_length(record.name.len()))
}

/// The event's bytes lack the stream's name, and have the id as text.
#[inline]
fn put_record(out: &mut Vec<u8>, record: &RecordView<'_>, ids: Ids) {
    let (id, rest) = record.encoded.split_at_checked(Record::ID_LENGTH).unwrap_or_default();
    match ids {
        Ids::Text => out.extend_from_slice(id),
        Ids::Structured => Halves::of(record.id).put(out),
    }
    put_length(out, STREAM_IDENTIFIER, field_length(record.name.len()));
    put_length(out, STREAM_NAME, record.name.len());
    out.extend_from_slice(record.name.as_bytes());
    out.extend_from_slice(rest);
}

/// The halves of an id; one that is 0 is left out.
#[derive(Clone, Copy)]
struct Halves([(u8, u64); 2]);

impl Halves {
    fn of(id: u128) -> Self {
        Self([(MOST_SIGNIFICANT_BITS, (id >> 64) as u64), (LEAST_SIGNIFICANT_BITS, id as u64)])
    }

    fn length(self) -> usize {
        self.0.iter().filter(|(_, half)| *half != 0).map(|(_, half)| 1 + encoded_len_varint(*half)).sum()
    }

    fn put(self, out: &mut Vec<u8>) {
        let length = self.length();
        put_length(out, ID, field_length(length));
        put_length(out, STRUCTURED, length);
        for (key, half) in self.0 {
            if half != 0 {
                put_number(out, key, half);
            }
        }
    }
}

/// The key of a field, and how many bytes it holds: often few.
#[inline]
fn put_length(out: &mut Vec<u8>, key: u8, length: usize) {
    match length {
        ..0x80 => out.extend_from_slice(&[key, length as u8]),
        0x80..0x4000 => out.extend_from_slice(&[key, length as u8 | 0x80, (length >> 7) as u8]),
        _ => put_number(out, key, length as u64),
    }
}

/// The bytes of the longest number.
const LONGEST: usize = 10;

/// The key of a field, and the number that it holds: without a branch for each byte, as the halves of an id have ten.
#[inline]
fn put_number(out: &mut Vec<u8>, key: u8, number: u64) {
    let mut bytes = [0; LONGEST];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (number >> (7 * index)) as u8 | 0x80;
    }
    out.push(key);
    let end = out.len() + encoded_len_varint(number);
    out.extend_from_slice(&bytes);
    out.truncate(end);
    if let Some(last) = out.last_mut() {
        *last &= 0x7f;
    }
}

/// An id as two numbers.
pub fn structured(id: u128) -> wire::proto::Uuid {
    use wire::proto::uuid::{Structured, Value};
    wire::proto::Uuid {
        value: Some(Value::Structured(Structured {
            most_significant_bits: (id >> 64) as i64,
            least_significant_bits: id as i64,
        })),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use store_core::{Command, Direction, Expected, Found, NewEvent, PageSize, Store, StreamRead};
    use wire::proto::streams::ReadResp;
    use wire::proto::streams::read_resp::Content;

    use super::*;

    fn append(store: &mut Store, stream: &str, event: NewEvent) {
        let (stream, expected) = (stream.to_owned(), Expected::Any);
        store.execute(&Command::Append { stream, expected, events: vec![event] }, 1).unwrap();
    }

    fn events(store: &Store, name: &str) -> Vec<Pair> {
        let (direction, size) = (Direction::Forwards, PageSize::events(10));
        let read = StreamRead { name, from: 0, direction, size, resolve: true, unlimited: false };
        match store.read_stream(&read, 1).unwrap() {
            Found::Stream(found) => found.page.events,
            Found::Missing => Vec::new(),
        }
    }

    fn sent(pair: &Pair, ids: Ids) -> ReadResp {
        let bytes = Messages::events(std::slice::from_ref(pair), ids).into_bytes();
        let (head, message) = bytes.split_at(5);
        assert_eq!(head, [&[0][..], &(message.len() as u32).to_be_bytes()].concat());
        ReadResp::decode(message).unwrap()
    }

    #[test]
    fn an_event_and_its_link_are_what_a_protobuf_decoder_reads_whatever_their_ids_and_names() {
        let long = "x".repeat(300);
        for id in [1, 1 << 64, u128::MAX, 0x80 << 120, 0x7f] {
            for name in ["s", long.as_str()] {
                let mut store = Store::in_memory(7);
                let event = |kind: &str, data: String| {
                    let (kind, data) = (kind.to_owned(), data.into());
                    NewEvent { id, kind, json: false, data, custom: Bytes::new() }
                };
                append(&mut store, name, event("t", "y".repeat(200)));
                append(&mut store, "links", event("$>", format!("0@{name}")));
                for (stream, ids) in
                    [(name, Ids::Structured), ("links", Ids::Structured), ("links", Ids::Text)]
                {
                    let pair = events(&store, stream).remove(0);
                    let Some(Content::Event(read)) = sent(&pair, ids).content else { panic!("no event") };
                    let event = read.event.unwrap();
                    let expected = match ids {
                        Ids::Structured => structured(id),
                        Ids::Text => wire::proto::Uuid {
                            value: Some(wire::proto::uuid::Value::String(
                                uuid::Uuid::from_u128(id).hyphenated().to_string(),
                            )),
                        },
                    };
                    assert_eq!(event.id, Some(expected.clone()));
                    assert_eq!(event.stream_identifier.unwrap().stream_name, name.as_bytes());
                    assert_eq!(event.data, "y".repeat(200).as_bytes());
                    if stream == "links" {
                        let link = read.link.unwrap();
                        assert_eq!(link.id, Some(expected));
                        assert_eq!(link.stream_identifier.unwrap().stream_name.as_ref(), b"links");
                    }
                }
            }
        }
    }
}
