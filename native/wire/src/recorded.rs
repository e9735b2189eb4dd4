//! The messages of a read, for the hot path: nothing is allocated, nothing is copied.
//!
//! One walk over the fields reads what prost's full decoding would read (merging repeated fields, skipping unknown
//! ones), with one difference: names, types and content types are handed on as the bytes they are, valid UTF-8 or not.
//! Who asks for less of an event, as its place alone, has the same walk pass by the rest.

use terms::event::{Id, Read, ReadEvent, Recorded};
use terms::time::Created;
use uuid::Uuid;

use crate::fields::{Fields, Value, wrong_type};

pub use crate::fields::DecodeError;

/// One message of a read or of a subscription, with an `E` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be the allocation that this view is there to avoid"
)]
pub enum Message<'a, E = ReadEvent<'a>> {
    /// An event, a link, or both.
    Event(E),
    /// The subscription stands; the text is its id.
    Confirmation(&'a str),
    /// How far a filtered subscription has looked.
    Checkpoint {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// There is no such stream (yet).
    StreamNotFound,
    /// Where reading begins when the server had to skip.
    FirstStreamPosition(u64),
    /// The revision of the stream's last event.
    LastStreamPosition(u64),
    /// The position of the log's last event.
    LastAllPosition {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// A subscription has become live.
    CaughtUp,
    /// A subscription is live no longer.
    FellBehind,
    /// A message of a newer server, by its first field (0: an empty message).
    Unknown(u32),
}

/// Whether what is in place is also what it should be: a well-formed message may still hold a time that is none.
pub fn check(event: &ReadEvent<'_>) -> Result<(), DecodeError> {
    if event.original().is_none() {
        return Err(DecodeError::NoEvent);
    }
    for recorded in [&event.event, &event.link].into_iter().flatten() {
        if recorded.created.is_none_or(|ticks| ticks > Created::LAST_TICKS) {
            return Err(DecodeError::NotTime);
        }
        if let Id::Text(text) = recorded.id
            && !text.is_empty()
            && Uuid::try_parse_ascii(text).is_err()
        {
            return Err(DecodeError::NotUuid);
        }
    }
    Ok(())
}

/// Where an event stands in the stream that was read, and in the log: a link's own place, not its target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The revision.
    pub revision: u64,
    /// The commit position.
    pub commit: u64,
    /// The prepare position.
    pub prepare: u64,
}

/// A message of which, when it is an event, only its place is looked at.
pub type Head<'a> = Message<'a, Place>;

/// Reads one `ReadResp`.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    walk(bytes)
}

/// Reads the head of one `ReadResp`.
///
/// An event that has no place, as there is neither an event nor a link, is refused: taken for revision 0 it would be
/// dropped as one that came before.
pub fn position_of(bytes: &[u8]) -> Result<Head<'_>, DecodeError> {
    Ok(match walk::<Place>(bytes)? {
        Message::Event(event) => Message::Event(*event.original().ok_or(DecodeError::NoEvent)?),
        Message::Confirmation(id) => Message::Confirmation(id),
        Message::Checkpoint { commit, prepare } => Message::Checkpoint { commit, prepare },
        Message::StreamNotFound => Message::StreamNotFound,
        Message::FirstStreamPosition(revision) => Message::FirstStreamPosition(revision),
        Message::LastStreamPosition(revision) => Message::LastStreamPosition(revision),
        Message::LastAllPosition { commit, prepare } => Message::LastAllPosition { commit, prepare },
        Message::CaughtUp => Message::CaughtUp,
        Message::FellBehind => Message::FellBehind,
        Message::Unknown(field) => Message::Unknown(field),
    })
}

/// What is kept of a `RecordedEvent`.
trait Keep<'a>: Default {
    /// Whether it is more than the place; else nothing is said of the other fields, whatever they hold.
    const ALL: bool;

    fn place(&mut self, field: PlaceField, number: u64);
    /// Takes a field that is bytes.
    fn take(&mut self, field: u32, bytes: &'a [u8]) -> Result<(), DecodeError>;
}

enum PlaceField {
    Revision,
    Prepare,
    Commit,
}

impl<'a> Keep<'a> for Place {
    const ALL: bool = false;

    #[inline]
    fn place(&mut self, field: PlaceField, number: u64) {
        match field {
            PlaceField::Revision => self.revision = number,
            PlaceField::Prepare => self.prepare = number,
            PlaceField::Commit => self.commit = number,
        }
    }

    #[inline]
    fn take(&mut self, _field: u32, _bytes: &'a [u8]) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl<'a> Keep<'a> for Recorded<'a> {
    const ALL: bool = true;

    #[inline]
    fn place(&mut self, field: PlaceField, number: u64) {
        match field {
            PlaceField::Revision => self.revision = number,
            PlaceField::Prepare => self.prepare = number,
            PlaceField::Commit => self.commit = number,
        }
    }

    #[inline]
    fn take(&mut self, field: u32, bytes: &'a [u8]) -> Result<(), DecodeError> {
        match field {
            1 => merge_id(&mut self.id, bytes),
            2 => merge_stream(&mut self.stream, bytes),
            6 => merge_metadata(self, bytes),
            7 => {
                self.custom_metadata = bytes;
                Ok(())
            }
            _ => {
                self.data = bytes;
                Ok(())
            }
        }
    }
}

fn walk<'a, R: Keep<'a>>(bytes: &'a [u8]) -> Result<Message<'a, Read<R>>, DecodeError> {
    let mut message = Message::Unknown(0);
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        if let (1, Value::Bytes(inner)) = (tag, value) {
            if !matches!(message, Message::Event(_)) {
                message = Message::Event(Read::default());
            }
            if let Message::Event(event) = &mut message {
                merge_event(event, inner)?;
            }
        } else {
            message = control(&message, tag, value)?.unwrap_or(message);
        }
    }
    Ok(message)
}

/// What a field makes of the message, if it is not an event's; `None` when that stays as it was.
fn control<'a, E>(
    before: &Message<'a, E>,
    tag: u32,
    value: Value<'a>,
) -> Result<Option<Message<'a, E>>, DecodeError> {
    Ok(Some(match (tag, value) {
        (2, Value::Bytes(inner)) => {
            let before = if let Message::Confirmation(id) = *before { id } else { "" };
            Message::Confirmation(confirmation(before, inner)?)
        }
        (3, Value::Bytes(inner)) => {
            let before = if let Message::Checkpoint { commit, prepare } = *before {
                (commit, prepare)
            } else {
                (0, 0)
            };
            let (commit, prepare) = position(before, inner)?;
            Message::Checkpoint { commit, prepare }
        }
        (4, Value::Bytes(_)) => Message::StreamNotFound,
        (5, Value::Varint(revision)) => Message::FirstStreamPosition(revision),
        (6, Value::Varint(revision)) => Message::LastStreamPosition(revision),
        (7, Value::Bytes(inner)) => {
            let before = if let Message::LastAllPosition { commit, prepare } = *before {
                (commit, prepare)
            } else {
                (0, 0)
            };
            let (commit, prepare) = position(before, inner)?;
            Message::LastAllPosition { commit, prepare }
        }
        (8, Value::Bytes(_)) => Message::CaughtUp,
        (9, Value::Bytes(_)) => Message::FellBehind,
        (1..=9, _) => return wrong_type("ReadResp", tag),
        (_, _) => match *before {
            Message::Unknown(0) => Message::Unknown(tag),
            _ => return Ok(None),
        },
    }))
}

fn merge_event<'a, R: Keep<'a>>(event: &mut Read<R>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(inner)) => merge_recorded(event.event.get_or_insert_default(), inner)?,
            (2, Value::Bytes(inner)) => merge_recorded(event.link.get_or_insert_default(), inner)?,
            (3, Value::Varint(position)) => event.commit_position = Some(position),
            (4, Value::Bytes(_)) => event.commit_position = None,
            (3..=4, _) if !R::ALL => {}
            (1..=4, _) => return wrong_type("ReadEvent", tag),
            _ => {}
        }
    }
    Ok(())
}

fn merge_recorded<'a, R: Keep<'a>>(recorded: &mut R, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (3, Value::Varint(revision)) => recorded.place(PlaceField::Revision, revision),
            (4, Value::Varint(position)) => recorded.place(PlaceField::Prepare, position),
            (5, Value::Varint(position)) => recorded.place(PlaceField::Commit, position),
            (1 | 2 | 6..=8, Value::Bytes(bytes)) => recorded.take(tag, bytes)?,
            (1 | 2 | 6..=8, _) if !R::ALL => {}
            (1..=8, _) => return wrong_type("RecordedEvent", tag),
            _ => {}
        }
    }
    Ok(())
}

fn merge_id<'a>(id: &mut Id<'a>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(inner)) => {
                let (most, least) =
                    if let Id::Structured { most, least } = *id { (most, least) } else { (0, 0) };
                // Both halves are int64 on the wire, so the varint is the two's complement as it stands.
                let (most, least) = position((most, least), inner)?;
                *id = Id::Structured { most, least };
            }
            (2, Value::Bytes(text)) => *id = Id::Text(text),
            (1..=2, _) => return wrong_type("UUID", tag),
            _ => {}
        }
    }
    Ok(())
}

fn merge_stream<'a>(stream: &mut &'a [u8], bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (3, Value::Bytes(name)) => *stream = name,
            (3, _) => return wrong_type("StreamIdentifier", tag),
            _ => {}
        }
    }
    Ok(())
}

fn merge_metadata<'a>(recorded: &mut Recorded<'a>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => text = bytes,
            (1..=2, _) => return wrong_type("metadata", tag),
            _ => {}
        }
    }
    match name {
        b"type" => recorded.event_type = text,
        b"content-type" => recorded.content_type = text,
        b"created" => recorded.created = ticks(text),
        _ => {}
    }
    Ok(())
}

fn ticks(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |ticks, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { ticks.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

fn confirmation<'a>(before: &'a str, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    let mut id = before;
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(text)) => {
                id = std::str::from_utf8(text).map_err(|_| DecodeError::NotText("subscription_id"))?;
            }
            (1, _) => return wrong_type("SubscriptionConfirmation", tag),
            _ => {}
        }
    }
    Ok(id)
}

/// Two numbers in fields 1 and 2: commit and prepare, or the halves of a UUID.
fn position(before: (u64, u64), bytes: &[u8]) -> Result<(u64, u64), DecodeError> {
    let (mut first, mut second) = before;
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Varint(number)) => first = number,
            (2, Value::Varint(number)) => second = number,
            (1..=2, _) => return wrong_type("position", tag),
            _ => {}
        }
    }
    Ok((first, second))
}
