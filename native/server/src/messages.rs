//! What the server answers with, message by message, and how each becomes bytes.

use bytes::{BufMut, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, encoded_len_varint};
use store_core::{Pair, Record};

/// One message of an answer.
#[derive(Clone, Debug)]
pub enum Message {
    /// A message whose bytes are made.
    Encoded(Bytes),
    /// An event, which was encoded when it was appended.
    Event {
        /// The event, and the link that led to it.
        pair: Pair,
        /// In which form its ids are given.
        ids: Ids,
    },
}

/// The form of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As text, as the store has them.
    Text,
    /// As two numbers.
    Structured,
}

impl Message {
    /// Any message of the protocol.
    pub fn of(message: &impl prost::Message) -> Self {
        Self::Encoded(message.encode_to_vec().into())
    }

    /// Writes the message.
    pub fn write(&self, out: &mut impl BufMut) {
        match self {
            Self::Encoded(bytes) => out.put_slice(bytes),
            Self::Event { pair, ids } => write_event(pair, *ids, out),
        }
    }
}

/// Fields of `ReadResp` and `ReadEvent`.
const EVENT: u32 = 1;
const LINK: u32 = 2;
const COMMIT_POSITION: u32 = 3;
/// Fields of `RecordedEvent` and of its `StreamIdentifier`.
const ID: u32 = 1;
const STREAM_IDENTIFIER: u32 = 2;
const STREAM_NAME: u32 = 3;
/// A field of `UUID`, and those of what it holds.
const STRUCTURED: u32 = 1;
const MOST_SIGNIFICANT_BITS: u32 = 1;
const LEAST_SIGNIFICANT_BITS: u32 = 2;

fn write_event(pair: &Pair, ids: Ids, out: &mut impl BufMut) {
    let position = pair.link.as_ref().or(pair.event.as_ref()).map_or(0, |record| record.position);
    let lengths =
        [&pair.event, &pair.link].map(|record| record.as_ref().map(|record| record_length(record, ids)));
    let parts: usize = lengths.iter().flatten().map(|length| field_length(*length)).sum();
    let mut heads = Heads::default();
    heads.length_of(EVENT, parts + 1 + encoded_len_varint(position));
    for ((field, record), length) in [(EVENT, &pair.event), (LINK, &pair.link)].into_iter().zip(lengths) {
        if let (Some(record), Some(length)) = (record, length) {
            heads.length_of(field, length);
            write_record(record, ids, &mut heads, out);
        }
    }
    heads.number(COMMIT_POSITION, position);
    heads.write(out);
}

fn field_length(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn record_length(record: &Record, ids: Ids) -> usize {
    let rest = match ids {
        Ids::Text => record.encoded.len(),
        Ids::Structured => {
            record.encoded.len() - Record::ID_LENGTH + field_length(structured(record.id).encoded_len())
        }
    };
    rest + field_length(field_length(record.name.len()))
}

/// The event's bytes lack the stream's name, and have the id as text.
fn write_record(record: &Record, ids: Ids, heads: &mut Heads, out: &mut impl BufMut) {
    let (id, rest) = record.encoded.split_at_checked(Record::ID_LENGTH).unwrap_or_default();
    match ids {
        Ids::Text => {
            heads.write(out);
            out.put_slice(id);
        }
        Ids::Structured => heads.id(record.id),
    }
    heads.length_of(STREAM_IDENTIFIER, field_length(record.name.len()));
    heads.length_of(STREAM_NAME, record.name.len());
    heads.write(out);
    out.put_slice(record.name.as_bytes());
    out.put_slice(rest);
}

/// The bytes of the longest number.
const LONGEST: usize = 10;

/// Keys and numbers that come one after the other. They are written together, as a buffer that grows asks for room at
/// each write.
struct Heads {
    bytes: [u8; Self::ROOM],
    used: usize,
}

impl Default for Heads {
    fn default() -> Self {
        Self { bytes: [0; Self::ROOM], used: 0 }
    }
}

impl Heads {
    /// More than the seven keys and eight numbers that come together at most.
    const ROOM: usize = 160;

    fn length_of(&mut self, field: u32, length: usize) {
        self.key(field, WireType::LengthDelimited);
        self.varint(length as u64);
    }

    fn number(&mut self, field: u32, number: u64) {
        self.key(field, WireType::Varint);
        self.varint(number);
    }

    fn id(&mut self, id: u128) {
        let id = structured(id);
        self.length_of(ID, id.encoded_len());
        let Some(wire::proto::uuid::Value::Structured(halves)) = id.value else { return };
        self.length_of(STRUCTURED, halves.encoded_len());
        for (field, half) in [
            (MOST_SIGNIFICANT_BITS, halves.most_significant_bits),
            (LEAST_SIGNIFICANT_BITS, halves.least_significant_bits),
        ] {
            // a number that is 0 is left out
            if half != 0 {
                self.number(field, half as u64);
            }
        }
    }

    fn key(&mut self, field: u32, wire_type: WireType) {
        self.varint(u64::from(field << 3 | wire_type as u32));
    }

    #[inline]
    fn varint(&mut self, number: u64) {
        match self.bytes.get_mut(self.used) {
            Some(place) if number < 0x80 => {
                *place = number as u8;
                self.used += 1;
            }
            _ => self.long_varint(number),
        }
    }

    /// Without a branch for each byte: the halves of an id have ten.
    #[inline]
    fn long_varint(&mut self, number: u64) {
        let place = self.bytes.get_mut(self.used..).and_then(|rest| rest.first_chunk_mut::<LONGEST>());
        let Some(place) = place else { return };
        for (index, byte) in place.iter_mut().enumerate() {
            *byte = (number >> (7 * index)) as u8 | 0x80;
        }
        let length = encoded_len_varint(number);
        if let Some(last) = place.get_mut(length - 1) {
            *last &= 0x7f;
        }
        self.used += length;
    }

    fn write(&mut self, out: &mut impl BufMut) {
        out.put_slice(self.bytes.get(..self.used).unwrap_or_default());
        self.used = 0;
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
    use store_core::{Direction, Expected, Found, NewEvent, PageSize, Store, StreamRead};
    use wire::proto::streams::ReadResp;
    use wire::proto::streams::read_resp::Content;

    use super::*;

    fn events(store: &Store, name: &str) -> Vec<Pair> {
        let (direction, size) = (Direction::Forwards, PageSize::events(10));
        let read = StreamRead { name, from: 0, direction, size, resolve: true, unlimited: false };
        match store.read_stream(&read, 1).unwrap() {
            Found::Stream(found) => found.page.events,
            Found::Missing => Vec::new(),
        }
    }

    fn sent(pair: &Pair, ids: Ids) -> ReadResp {
        let mut bytes = Vec::new();
        Message::Event { pair: pair.clone(), ids }.write(&mut bytes);
        ReadResp::decode(bytes.as_slice()).unwrap()
    }

    #[test]
    fn an_event_and_its_link_are_what_a_protobuf_decoder_reads_whatever_their_ids_and_names() {
        let long = "x".repeat(300);
        for id in [1, 1 << 64, u128::MAX, 0x80 << 120, 0x7f] {
            for name in ["s", long.as_str()] {
                let mut store = Store::in_memory(7);
                let event = |kind: &str, data: String| {
                    let (kind, data) = (kind.to_owned(), data.into());
                    [NewEvent { id, kind, json: false, data, custom: Bytes::new() }]
                };
                store.append(name, Expected::Any, &event("t", "y".repeat(200)), 1).unwrap();
                store.append("links", Expected::Any, &event("$>", format!("0@{name}")), 1).unwrap();
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
