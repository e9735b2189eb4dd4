//! The fields of a protobuf message, one after the other, borrowed from its bytes.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no protobuf message.
    #[error("malformed message: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field has another type than this message gives it.
    #[error("malformed message: field {field} of {message} has the wrong type")]
    WrongType {
        /// The message.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// A field must be UTF-8 and is not.
    #[error("malformed message: {0} is not UTF-8")]
    NotText(&'static str),
    /// There is neither an event nor a link where there must be one of them.
    #[error("malformed message: an event without an event or a link")]
    NoEvent,
    /// The time of an event is no time up to the year 9999.
    #[error("malformed event: its created is not a number of ticks up to the year 9999")]
    NotTime,
    /// The id of an event is no UUID.
    #[error("malformed event: its id is no UUID")]
    NotUuid,
    /// A field says that it is longer than its message.
    #[error("malformed message: field {0} is longer than its message")]
    TooLong(u32),
}

/// What a field holds, as far as the messages here have such fields.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// A cursor over the fields of a message.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field. Nearly all have a key of one byte and a length of one or two.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        let (key, length, rest) = match *self.rest {
            [] => return Ok(None),
            [key, low @ ..0x80, ref rest @ ..] => (key, usize::from(low), rest),
            [key, low, high @ ..0x80, ref rest @ ..] => {
                (key, usize::from(low & 0x7f) | usize::from(high) << 7, rest)
            }
            _ => return self.any(),
        };
        // the field's number is from 1 to 15, and its type is 2
        if key & 0x87 == 2
            && key >= 8
            && let Some((bytes, rest)) = rest.split_at_checked(length)
        {
            self.rest = rest;
            return Ok(Some((u32::from(key >> 3), Value::Bytes(bytes))));
        }
        self.any()
    }

    /// The next field, whatever it is.
    fn any(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        let (tag, wire_type) = self.key()?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::LengthDelimited => {
                let length = self.varint()?;
                let (bytes, rest) = usize::try_from(length)
                    .ok()
                    .and_then(|length| self.rest.split_at_checked(length))
                    .ok_or(DecodeError::TooLong(tag))?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            _ => {
                skip_field(wire_type, tag, &mut self.rest, DecodeContext::default())?;
                Value::Other
            }
        };
        Ok(Some((tag, value)))
    }

    /// Nearly all keys here are one byte, of the first two wire types.
    #[inline]
    fn key(&mut self) -> Result<(u32, WireType), DecodeError> {
        if let Some((&byte @ 8..0x80, rest)) = self.rest.split_first() {
            let wire_type = match byte & 7 {
                0 => Some(WireType::Varint),
                2 => Some(WireType::LengthDelimited),
                _ => None,
            };
            if let Some(wire_type) = wire_type {
                self.rest = rest;
                return Ok((u32::from(byte >> 3), wire_type));
            }
        }
        Ok(decode_key(&mut self.rest)?)
    }

    /// Most lengths here are one byte or two.
    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match *self.rest {
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => Ok(decode_varint(&mut self.rest)?),
        }
    }
}

pub(crate) fn wrong_type<T>(message: &'static str, field: u32) -> Result<T, DecodeError> {
    Err(DecodeError::WrongType { message, field })
}
