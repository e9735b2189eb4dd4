//! What several tests compare with: prost's own decoding.

use terms::event::{Id, ReadEvent, Recorded};
use wire::proto;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::read_event::{Position, RecordedEvent};
use wire::proto::streams::read_resp::{Content, ReadEvent as FullEvent};
use wire::proto::uuid::Value;
use wire::recorded::{DecodeError, Head, Message, Place, parse, position_of};

/// Asserts that the borrowed views of `bytes` say what prost's message says.
pub fn assert_same(full: &ReadResp, bytes: &[u8], first_unknown: u32) {
    assert_eq!(parse(bytes).unwrap(), view(full, first_unknown));
    assert_eq!(position_of(bytes), head(full, first_unknown));
}

fn view(full: &ReadResp, first_unknown: u32) -> Message<'_> {
    match full.content.as_ref() {
        None => Message::Unknown(first_unknown),
        Some(Content::Event(event)) => Message::Event(ReadEvent {
            event: event.event.as_ref().map(recorded),
            link: event.link.as_ref().map(recorded),
            commit_position: match event.position {
                Some(Position::CommitPosition(position)) => Some(position),
                _ => None,
            },
        }),
        Some(Content::Confirmation(confirmation)) => Message::Confirmation(&confirmation.subscription_id),
        Some(Content::Checkpoint(at)) => {
            Message::Checkpoint { commit: at.commit_position, prepare: at.prepare_position }
        }
        Some(Content::StreamNotFound(_)) => Message::StreamNotFound,
        Some(Content::FirstStreamPosition(revision)) => Message::FirstStreamPosition(*revision),
        Some(Content::LastStreamPosition(revision)) => Message::LastStreamPosition(*revision),
        Some(Content::LastAllStreamPosition(at)) => {
            Message::LastAllPosition { commit: at.commit_position, prepare: at.prepare_position }
        }
        Some(Content::CaughtUp(_)) => Message::CaughtUp,
        Some(Content::FellBehind(_)) => Message::FellBehind,
    }
}

fn recorded(full: &RecordedEvent) -> Recorded<'_> {
    let metadata = |name: &str| full.metadata.get(name).map_or("", String::as_str);
    Recorded {
        id: full.id.as_ref().and_then(|id| id.value.as_ref()).map_or(Id::default(), id),
        stream: full.stream_identifier.as_ref().map_or(b"", |stream| &stream.stream_name),
        revision: full.stream_revision,
        prepare: full.prepare_position,
        commit: full.commit_position,
        event_type: metadata("type").as_bytes(),
        content_type: metadata("content-type").as_bytes(),
        created: full.metadata.get("created").map_or(Some(0), |ticks| ticks.parse().ok()),
        custom_metadata: &full.custom_metadata,
        data: &full.data,
    }
}

fn id(value: &Value) -> Id<'_> {
    match value {
        Value::Structured(proto::uuid::Structured { most_significant_bits, least_significant_bits }) => {
            Id::Structured {
                most: most_significant_bits.cast_unsigned(),
                least: least_significant_bits.cast_unsigned(),
            }
        }
        Value::String(text) => Id::Text(text.as_bytes()),
    }
}

fn head(full: &ReadResp, first_unknown: u32) -> Result<Head<'_>, DecodeError> {
    Ok(match view(full, first_unknown) {
        Message::Event(_) => Head::Event(match full.content.as_ref() {
            Some(Content::Event(FullEvent { event, link, .. })) => {
                let original = link.as_ref().or(event.as_ref()).ok_or(DecodeError::NoEvent)?;
                Place {
                    revision: original.stream_revision,
                    commit: original.commit_position,
                    prepare: original.prepare_position,
                }
            }
            _ => unreachable!(),
        }),
        Message::Confirmation(id) => Head::Confirmation(id),
        Message::Checkpoint { commit, prepare } => Head::Checkpoint { commit, prepare },
        Message::StreamNotFound => Head::StreamNotFound,
        Message::FirstStreamPosition(revision) => Head::FirstStreamPosition(revision),
        Message::LastStreamPosition(revision) => Head::LastStreamPosition(revision),
        Message::LastAllPosition { commit, prepare } => Head::LastAllPosition { commit, prepare },
        Message::CaughtUp => Head::CaughtUp,
        Message::FellBehind => Head::FellBehind,
        Message::Unknown(tag) => Head::Unknown(tag),
    })
}
