//! The borrowed view against prost's full decoding, on messages that no server need have sent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use terms::event::Id;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::read_event::{Position, RecordedEvent};
use wire::proto::streams::read_resp::{
    CaughtUp, Checkpoint, Content, FellBehind, ReadEvent, StreamNotFound, SubscriptionConfirmation,
};
use wire::proto::uuid::{Structured, Value};
use wire::proto::{AllStreamPosition, Empty, StreamIdentifier, Uuid};
use wire::recorded::{DecodeError, Message, check, parse, position_of};

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    let structured = any::<(i64, i64)>().prop_map(|(most_significant_bits, least_significant_bits)| {
        Value::Structured(Structured { most_significant_bits, least_significant_bits })
    });
    of(prop_oneof![structured, "\\PC{0,40}".prop_map(Value::String)]).prop_map(|value| Uuid { value })
}

fn metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop_oneof![Just("type"), Just("content-type"), Just("created"), Just("other"), Just("")];
    btree_map(key.prop_map(str::to_owned), prop_oneof!["\\PC{0,20}", "[0-9]{1,21}"], 0..5)
}

fn recorded() -> impl Strategy<Value = RecordedEvent> {
    let name = of(bytes().prop_map(|stream_name| StreamIdentifier { stream_name }));
    (of(uuid()), name, any::<(u64, u64, u64)>(), metadata(), bytes(), bytes()).prop_map(
        |(
            id,
            stream_identifier,
            (stream_revision, prepare_position, commit_position),
            metadata,
            custom_metadata,
            data,
        )| {
            RecordedEvent {
                id,
                stream_identifier,
                stream_revision,
                prepare_position,
                commit_position,
                metadata,
                custom_metadata,
                data,
            }
        },
    )
}

fn event() -> impl Strategy<Value = ReadEvent> {
    let position = of(prop_oneof![
        any::<u64>().prop_map(Position::CommitPosition),
        Just(Position::NoPosition(Empty {}))
    ]);
    (of(recorded()), of(recorded()), position).prop_map(|(event, link, position)| ReadEvent {
        event,
        link,
        position,
    })
}

fn response() -> impl Strategy<Value = ReadResp> {
    let pair = any::<(u64, u64)>();
    let content = prop_oneof![
        4 => event().prop_map(Content::Event),
        1 => "\\PC{0,40}".prop_map(|subscription_id| {
            Content::Confirmation(SubscriptionConfirmation { subscription_id })
        }),
        1 => pair.prop_map(|(commit_position, prepare_position)| {
            Content::Checkpoint(Checkpoint { commit_position, prepare_position, timestamp: None })
        }),
        1 => pair.prop_map(|(commit_position, prepare_position)| {
            Content::LastAllStreamPosition(AllStreamPosition { commit_position, prepare_position })
        }),
        1 => Just(Content::StreamNotFound(StreamNotFound { stream_identifier: None })),
        1 => any::<u64>().prop_map(Content::FirstStreamPosition),
        1 => any::<u64>().prop_map(Content::LastStreamPosition),
        1 => Just(Content::CaughtUp(CaughtUp::default())),
        1 => Just(Content::FellBehind(FellBehind::default())),
    ];
    of(content).prop_map(|content| ReadResp { content })
}

const UNKNOWN_TAG: u32 = 700;

/// Writes the message anew with an unknown field before, between and after the known ones, at every level.
fn with_unknown_fields(bytes: &[u8], level: Level) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    let mut kind = 0;
    loop {
        unknown_field(kind, &mut out);
        kind += 1;
        if rest.is_empty() {
            return out;
        }
        let (tag, wire_type) = decode_key(&mut rest).unwrap();
        encode_key(tag, wire_type, &mut out);
        let number = decode_varint(&mut rest).unwrap();
        if wire_type == WireType::LengthDelimited {
            let (inner, after) = rest.split_at(usize::try_from(number).unwrap());
            let inner = match level.inside(tag) {
                Some(level) => with_unknown_fields(inner, level),
                None => inner.to_vec(),
            };
            encode_varint(inner.len() as u64, &mut out);
            out.extend(inner);
            rest = after;
        } else {
            encode_varint(number, &mut out);
        }
    }
}

fn unknown_field(kind: u32, out: &mut Vec<u8>) {
    let tag = UNKNOWN_TAG + kind;
    match kind % 5 {
        0 => {
            encode_key(tag, WireType::Varint, out);
            encode_varint(u64::MAX, out);
        }
        1 => {
            encode_key(tag, WireType::LengthDelimited, out);
            out.extend([3, 1, 2, 3]);
        }
        2 => {
            encode_key(tag, WireType::ThirtyTwoBit, out);
            out.extend([1; 4]);
        }
        3 => {
            encode_key(tag, WireType::SixtyFourBit, out);
            out.extend([1; 8]);
        }
        _ => {
            encode_key(tag, WireType::StartGroup, out);
            unknown_field(0, out);
            encode_key(tag, WireType::EndGroup, out);
        }
    }
}

#[derive(Clone, Copy)]
enum Level {
    Response,
    Event,
    Recorded,
    Uuid,
    Flat,
}

impl Level {
    fn inside(self, tag: u32) -> Option<Level> {
        match (self, tag) {
            (Level::Response, 1) => Some(Level::Event),
            (Level::Response, 2 | 3 | 4 | 7 | 8 | 9) => Some(Level::Flat),
            (Level::Event, 1 | 2) => Some(Level::Recorded),
            (Level::Recorded, 1) => Some(Level::Uuid),
            (Level::Recorded, 2 | 6) | (Level::Uuid, 1) => Some(Level::Flat),
            _ => None,
        }
    }
}

proptest! {
    #[test]
    fn the_view_says_what_prost_says(full in response()) {
        support::assert_same(&full, &full.encode_to_vec(), 0);
    }

    #[test]
    fn unknown_fields_change_nothing(full in response()) {
        let bytes = with_unknown_fields(&full.encode_to_vec(), Level::Response);
        prop_assert_eq!(&ReadResp::decode(bytes.as_slice()).unwrap(), &full);
        support::assert_same(&full, &bytes, UNKNOWN_TAG);
    }

    #[test]
    fn one_message_after_the_other_is_merged_as_prost_merges(first in response(), second in response()) {
        let mut bytes = first.encode_to_vec();
        bytes.extend(second.encode_to_vec());
        support::assert_same(&ReadResp::decode(bytes.as_slice()).unwrap(), &bytes, 0);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = position_of(&bytes);
    }

    #[test]
    fn a_message_cut_short_or_damaged_is_read_or_refused(full in response(), cut in any::<prop::sample::Index>(), damage in any::<u8>()) {
        let mut bytes = full.encode_to_vec();
        let at = cut.index(bytes.len() + 1);
        let _ = parse(&bytes[..at]);
        let _ = position_of(&bytes[..at]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = damage;
        }
        let _ = parse(&bytes);
        let _ = position_of(&bytes);
    }

    #[test]
    fn whatever_the_view_refuses_prost_refuses_too(bytes in vec(0..24_u8, 0..40)) {
        if parse(&bytes).is_err() {
            prop_assert!(ReadResp::decode(bytes.as_slice()).is_err());
        }
    }
}

#[test]
fn a_field_longer_than_its_message_is_refused() {
    assert_eq!(parse(&[10, 5, 1]), Err(DecodeError::TooLong(1)));
    assert_eq!(position_of(&[10, 5, 1]), Err(DecodeError::TooLong(1)));
}

#[test]
fn a_field_of_the_wrong_type_is_refused_by_name() {
    assert_eq!(
        parse(&[8, 1]).unwrap_err().to_string(),
        "malformed message: field 1 of ReadResp has the wrong type"
    );
}

#[test]
fn a_message_of_a_newer_server_is_known_by_its_field() {
    assert_eq!(parse(&[82, 0]), Ok(Message::Unknown(10)));
}

#[test]
fn an_id_is_written_as_lower_case_text_in_either_form() {
    let mut buffer = [0; 36];
    let structured = Id::Structured { most: 0x0123_4567_89ab_cdef, least: 0xfedc_ba98_7654_3210 };
    assert_eq!(structured.text(&mut buffer), b"01234567-89ab-cdef-fedc-ba9876543210");
    let text = Id::Text(b"01234567-89AB-CDEF-FEDC-BA9876543210");
    assert_eq!(text.text(&mut buffer), b"01234567-89ab-cdef-fedc-ba9876543210");
    assert_eq!(Id::Text(b"Short").text(&mut buffer), b"Short");
}

fn event_of(recorded: RecordedEvent) -> Vec<u8> {
    let event = ReadEvent { event: Some(recorded), link: None, position: None };
    ReadResp { content: Some(Content::Event(event)) }.encode_to_vec()
}

fn created(text: &str) -> RecordedEvent {
    RecordedEvent {
        metadata: BTreeMap::from([("created".to_owned(), text.to_owned())]),
        ..RecordedEvent::default()
    }
}

fn id(value: Value) -> RecordedEvent {
    RecordedEvent { id: Some(Uuid { value: Some(value) }), ..RecordedEvent::default() }
}

fn checked(bytes: &[u8]) -> Result<(), DecodeError> {
    match parse(bytes)? {
        Message::Event(event) => check(&event),
        other => panic!("{other:?} is no event"),
    }
}

#[test]
fn an_event_is_checked_for_what_a_well_formed_message_may_still_hold() {
    let text = |text: &str| id(Value::String(text.into()));
    for (recorded, expected) in [
        (RecordedEvent::default(), Ok(())),
        (created("17953890257052301"), Ok(())),
        (created("2534023007999999999"), Ok(())),
        (created("2534023008000000000"), Err(DecodeError::NotTime)),
        (created("yesterday"), Err(DecodeError::NotTime)),
        (created("-1"), Err(DecodeError::NotTime)),
        (created(""), Err(DecodeError::NotTime)),
        (created("99999999999999999999999"), Err(DecodeError::NotTime)),
        (text("01234567-89AB-CDEF-FEDC-BA9876543210"), Ok(())),
        (text("01234567-89ab-cdef-fedc-ba987654321"), Err(DecodeError::NotUuid)),
        (text("nonsense"), Err(DecodeError::NotUuid)),
    ] {
        assert_eq!(checked(&event_of(recorded.clone())), expected, "{recorded:?}");
        let link =
            ReadEvent { event: Some(RecordedEvent::default()), link: Some(recorded.clone()), position: None };
        let bytes = ReadResp { content: Some(Content::Event(link)) }.encode_to_vec();
        assert_eq!(checked(&bytes), expected, "a link {recorded:?}");
    }
}

#[test]
fn an_event_without_an_event_or_a_link_has_no_place() {
    let bytes = ReadResp { content: Some(Content::Event(ReadEvent::default())) }.encode_to_vec();
    assert_eq!(checked(&bytes), Err(DecodeError::NoEvent));
    assert_eq!(position_of(&bytes), Err(DecodeError::NoEvent));
}
