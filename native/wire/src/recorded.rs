//! A borrowed view of a `ReadResp`, for the hot path: nothing is allocated, nothing is copied.
//!
//! It reads what prost's full decoding would read (merging repeated fields, skipping unknown ones), with one
//! difference: names, types and content types are handed on as the bytes they are, valid UTF-8 or not.

use uuid::Uuid;

use crate::created::Created;
use crate::fields::{Fields, Value, wrong_type};

pub use crate::fields::DecodeError;

/// One message of a read or of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be the allocation that this view is there to avoid"
)]
pub enum Message<'a> {
    /// An event, a link, or both.
    Event(ReadEvent<'a>),
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

/// An event as a read gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadEvent<'a> {
    /// The event itself; `None` when `link` points at nothing.
    pub event: Option<Recorded<'a>>,
    /// The link that led to the event.
    pub link: Option<Recorded<'a>>,
    /// The position in the log, of the link if there is one.
    pub commit_position: Option<u64>,
}

impl<'a> ReadEvent<'a> {
    /// What stands in the stream that was read: the link if there is one, else the event.
    pub fn original(&self) -> Option<&Recorded<'a>> {
        self.link.as_ref().or(self.event.as_ref())
    }

    /// Whether what is in place is also what it should be: a well-formed message may still hold a time that is none.
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.event.is_none() && self.link.is_none() {
            return Err(DecodeError::NoEvent);
        }
        for recorded in [&self.event, &self.link].into_iter().flatten() {
            recorded.check()?;
        }
        Ok(())
    }
}

impl Recorded<'_> {
    fn check(&self) -> Result<(), DecodeError> {
        if self.created.is_none_or(|ticks| ticks > Created::LAST_TICKS) {
            return Err(DecodeError::NotTime);
        }
        match self.id {
            Id::Text(text) if !text.is_empty() && Uuid::try_parse_ascii(text).is_err() => {
                Err(DecodeError::NotUuid)
            }
            _ => Ok(()),
        }
    }
}

/// A stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// The event's id.
    pub id: Id<'a>,
    /// The name of its stream.
    pub stream: &'a [u8],
    /// Its number in the stream.
    pub revision: u64,
    /// Its prepare position.
    pub prepare: u64,
    /// Its commit position.
    pub commit: u64,
    /// The type its writer gave it.
    pub event_type: &'a [u8],
    /// `application/json` or `application/octet-stream`.
    pub content_type: &'a [u8],
    /// When it was stored, in 100 ns since 1970; 0 when the server did not say, `None` when it said something else.
    pub created: Option<u64>,
    /// What its writer put beside the data.
    pub custom_metadata: &'a [u8],
    /// The body.
    pub data: &'a [u8],
}

impl Default for Recorded<'_> {
    fn default() -> Self {
        Self {
            id: Id::default(),
            stream: b"",
            revision: 0,
            prepare: 0,
            commit: 0,
            event_type: b"",
            content_type: b"",
            created: Some(0),
            custom_metadata: b"",
            data: b"",
        }
    }
}

/// An event's id, in the form that the reader asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<'a> {
    /// Two halves of a UUID.
    Structured {
        /// The first eight bytes, big-endian.
        most: u64,
        /// The last eight bytes, big-endian.
        least: u64,
    },
    /// Text, as the server wrote it.
    Text(&'a [u8]),
}

impl Default for Id<'_> {
    fn default() -> Self {
        Id::Text(b"")
    }
}

/// How long a UUID is as text.
pub const ID_LENGTH: usize = 36;

impl<'a> Id<'a> {
    /// The id as lower-case text with dashes, written to `buffer`. A text that is no UUID is given as it is.
    pub fn text<'b>(&self, buffer: &'b mut [u8; ID_LENGTH]) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Id::Structured { most, least } => {
                Uuid::from_u64_pair(most, least).hyphenated().encode_lower(buffer);
                buffer
            }
            Id::Text(text) => match <&[u8; ID_LENGTH]>::try_from(text) {
                Ok(text) => {
                    *buffer = *text;
                    buffer.make_ascii_lowercase();
                    buffer
                }
                Err(_) => text,
            },
        }
    }
}

/// Reads one `ReadResp`.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut message = Message::Unknown(0);
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        merge_message(&mut message, tag, value)?;
    }
    Ok(message)
}

fn merge_message<'a>(message: &mut Message<'a>, tag: u32, value: Value<'a>) -> Result<(), DecodeError> {
    *message = match (tag, value) {
        (1, Value::Bytes(inner)) => {
            if !matches!(message, Message::Event(_)) {
                *message = Message::Event(ReadEvent::default());
            }
            if let Message::Event(event) = message {
                merge_event(event, inner)?;
            }
            return Ok(());
        }
        (2, Value::Bytes(inner)) => {
            let before = if let Message::Confirmation(id) = *message { id } else { "" };
            Message::Confirmation(confirmation(before, inner)?)
        }
        (3, Value::Bytes(inner)) => {
            let before = if let Message::Checkpoint { commit, prepare } = *message {
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
            let before = if let Message::LastAllPosition { commit, prepare } = *message {
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
        (_, _) => match *message {
            Message::Unknown(0) => Message::Unknown(tag),
            known => known,
        },
    };
    Ok(())
}

fn merge_event<'a>(event: &mut ReadEvent<'a>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(inner)) => merge_recorded(event.event.get_or_insert_default(), inner)?,
            (2, Value::Bytes(inner)) => merge_recorded(event.link.get_or_insert_default(), inner)?,
            (3, Value::Varint(position)) => event.commit_position = Some(position),
            (4, Value::Bytes(_)) => event.commit_position = None,
            (1..=4, _) => return wrong_type("ReadEvent", tag),
            _ => {}
        }
    }
    Ok(())
}

fn merge_recorded<'a>(recorded: &mut Recorded<'a>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        match (tag, value) {
            (1, Value::Bytes(inner)) => merge_id(&mut recorded.id, inner)?,
            (2, Value::Bytes(inner)) => merge_stream(&mut recorded.stream, inner)?,
            (3, Value::Varint(revision)) => recorded.revision = revision,
            (4, Value::Varint(position)) => recorded.prepare = position,
            (5, Value::Varint(position)) => recorded.commit = position,
            (6, Value::Bytes(inner)) => merge_metadata(recorded, inner)?,
            (7, Value::Bytes(bytes)) => recorded.custom_metadata = bytes,
            (8, Value::Bytes(bytes)) => recorded.data = bytes,
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
pub(crate) fn position(before: (u64, u64), bytes: &[u8]) -> Result<(u64, u64), DecodeError> {
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
