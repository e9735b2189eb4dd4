//! What the server answers with, message by message, and how each becomes bytes.

use bytes::{BufMut, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
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

fn write_event(pair: &Pair, ids: Ids, out: &mut impl BufMut) {
    let position = pair.link.as_ref().or(pair.event.as_ref()).map_or(0, |record| record.position);
    let part = |record: &Option<Record>| {
        record.as_ref().map_or(0, |record| field_length(record_length(record, ids)))
    };
    let length = part(&pair.event) + part(&pair.link) + 1 + encoded_len_varint(position);
    encode_key(EVENT, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
    for (field, record) in [(EVENT, &pair.event), (LINK, &pair.link)] {
        if let Some(record) = record {
            encode_key(field, WireType::LengthDelimited, out);
            encode_varint(record_length(record, ids) as u64, out);
            write_record(record, ids, out);
        }
    }
    encode_key(COMMIT_POSITION, WireType::Varint, out);
    encode_varint(position, out);
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

fn write_record(record: &Record, ids: Ids, out: &mut impl BufMut) {
    let (id, rest) = record.encoded.split_at_checked(Record::ID_LENGTH).unwrap_or_default();
    match ids {
        Ids::Text => out.put_slice(id),
        Ids::Structured => prost::encoding::message::encode(1, &structured(record.id), out),
    }
    write_name(&record.name, out);
    out.put_slice(rest);
}

/// The stream's name, which the event's bytes lack: a `StreamIdentifier`.
fn write_name(name: &str, out: &mut impl BufMut) {
    const STREAM_IDENTIFIER: u32 = 2;
    const STREAM_NAME: u32 = 3;
    encode_key(STREAM_IDENTIFIER, WireType::LengthDelimited, out);
    encode_varint(field_length(name.len()) as u64, out);
    encode_key(STREAM_NAME, WireType::LengthDelimited, out);
    encode_varint(name.len() as u64, out);
    out.put_slice(name.as_bytes());
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
