//! The least that must be known of a message to keep a subscription's position.

use crate::fields::{DecodeError, Fields, Value, wrong_type};
use crate::recorded::position;

/// What kind of message it is, and where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// An event.
    Event(Place),
    /// The subscription stands.
    Confirmation,
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

/// Reads the head of one `ReadResp`; of an event only its place is looked at.
///
/// An event that has no place, as there is neither an event nor a link, is refused: taken for revision 0 it would be
/// dropped as one that came before.
pub fn position_of(bytes: &[u8]) -> Result<Head, DecodeError> {
    let mut head = Head::Unknown(0);
    let mut places = Places::default();
    let mut placed = true;
    let mut fields = Fields::new(bytes);
    while let Some((tag, value)) = fields.next()? {
        head = match (tag, value) {
            (1, Value::Bytes(inner)) => {
                if !matches!(head, Head::Event(_)) {
                    places = Places::default();
                }
                places.merge(inner)?;
                let place = places.link.or(places.event);
                placed = place.is_some();
                Head::Event(place.unwrap_or_default())
            }
            (2, Value::Bytes(_)) => Head::Confirmation,
            (3, Value::Bytes(inner)) => {
                let before =
                    if let Head::Checkpoint { commit, prepare } = head { (commit, prepare) } else { (0, 0) };
                let (commit, prepare) = position(before, inner)?;
                Head::Checkpoint { commit, prepare }
            }
            (4, Value::Bytes(_)) => Head::StreamNotFound,
            (5, Value::Varint(revision)) => Head::FirstStreamPosition(revision),
            (6, Value::Varint(revision)) => Head::LastStreamPosition(revision),
            (7, Value::Bytes(inner)) => {
                let before = if let Head::LastAllPosition { commit, prepare } = head {
                    (commit, prepare)
                } else {
                    (0, 0)
                };
                let (commit, prepare) = position(before, inner)?;
                Head::LastAllPosition { commit, prepare }
            }
            (8, Value::Bytes(_)) => Head::CaughtUp,
            (9, Value::Bytes(_)) => Head::FellBehind,
            (1..=9, _) => return wrong_type("ReadResp", tag),
            (_, _) if head == Head::Unknown(0) => Head::Unknown(tag),
            (_, _) => head,
        };
    }
    match head {
        Head::Event(_) if !placed => Err(DecodeError::NoEvent),
        head => Ok(head),
    }
}

#[derive(Default)]
struct Places {
    event: Option<Place>,
    link: Option<Place>,
}

impl Places {
    fn merge(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut fields = Fields::new(bytes);
        while let Some((tag, value)) = fields.next()? {
            match (tag, value) {
                (1, Value::Bytes(inner)) => self.event.get_or_insert_default().merge(inner)?,
                (2, Value::Bytes(inner)) => self.link.get_or_insert_default().merge(inner)?,
                (1..=2, _) => return wrong_type("ReadEvent", tag),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Place {
    fn merge(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut fields = Fields::new(bytes);
        while let Some((tag, value)) = fields.next()? {
            match (tag, value) {
                (3, Value::Varint(number)) => self.revision = number,
                (4, Value::Varint(number)) => self.prepare = number,
                (5, Value::Varint(number)) => self.commit = number,
                (3..=5, _) => return wrong_type("RecordedEvent", tag),
                _ => {}
            }
        }
        Ok(())
    }
}
