//! JSON text to terms, without a tree in between.
//!
//! Objects become maps with binaries as keys (of equal keys the last one counts), null becomes nil. Integers are
//! exact whatever their size: serde_json makes floats of those beyond 64 bits, so a document that has one is read
//! once more, with the exact texts of such integers at hand.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::integer::{self, Large};
use crate::sink::TermSink;
use crate::word::Word;

pub use serde_json::Error;

/// Writes the value of one document; of text that is none nothing stays written.
pub fn write<'f, S: TermSink<'f>>(sink: &mut S, text: &[u8]) -> Result<(), Error> {
    let start = sink.mark();
    let mut reader = Reader::new(sink, VecDeque::new());
    let mut read = reader.document(text);
    let inexact = match &read {
        Ok(()) => reader.inexact,
        Err(error) => error.is_syntax() && error.to_string().starts_with("number out of range"),
    };
    if inexact {
        let found = integer::find_large(text);
        if !found.integers.is_empty() {
            sink.rewind(start);
            read = Reader::new(sink, found.integers.into()).document(&found.text);
        }
    }
    if read.is_err() {
        sink.rewind(start);
    }
    read
}

/// How much a text costs to be made terms of, counted in bytes of a long string.
///
/// What costs is the number of terms, of which each has a mark before it, and digits; all else is passed by.
pub fn weight(text: &[u8]) -> usize {
    let (marks, digits) =
        text.chunks(LANES * COUNTED).map(count).fold((0, 0), |(marks, digits), (more_marks, more_digits)| {
            (marks + more_marks, digits + more_digits)
        });
    text.len() + 15 * marks + 5 * digits
}

/// So many bytes are looked at together, each in a lane of its own, and so many in a lane, which counts in a byte: as wide
/// as a register, so that this costs a fraction of what reading the text does.
const LANES: usize = 16;
const COUNTED: usize = 255;

/// How many marks and digits there are.
fn count(part: &[u8]) -> (usize, usize) {
    let (mut marks, mut digits) = ([0_u8; LANES], [0_u8; LANES]);
    let (blocks, rest) = part.as_chunks::<LANES>();
    for block in blocks {
        for ((marks, digits), byte) in marks.iter_mut().zip(&mut digits).zip(block) {
            *marks += u8::from(is_mark(*byte));
            *digits += u8::from(byte.is_ascii_digit());
        }
    }
    let sum = |lanes: [u8; LANES]| lanes.iter().map(|count| usize::from(*count)).sum::<usize>();
    let among_rest = |is: fn(u8) -> bool| rest.iter().filter(|byte| is(**byte)).count();
    (sum(marks) + among_rest(is_mark), sum(digits) + among_rest(|byte| byte.is_ascii_digit()))
}

fn is_mark(byte: u8) -> bool {
    // without a branch, and `[` and `{` differ in one bit
    (byte == b',') | (byte == b':') | (byte == b'"') | (byte & !0x20 == b'[')
}

struct Reader<'s, 'f, S> {
    sink: &'s mut S,
    /// How many numbers have been read.
    numbers: usize,
    /// A float was read that may have been written as an integer.
    inexact: bool,
    /// The integers beyond 64 bits that are still to come, by the count of numbers before them.
    large: VecDeque<(usize, Large)>,
    messages: PhantomData<&'f ()>,
}

impl<'s, 'f, S: TermSink<'f>> Reader<'s, 'f, S> {
    fn new(sink: &'s mut S, large: VecDeque<(usize, Large)>) -> Self {
        Self { sink, numbers: 0, inexact: false, large, messages: PhantomData }
    }

    fn document(&mut self, text: &[u8]) -> Result<(), Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        Value(self).deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// Counts a number; writes the large integer that stands here in place of what serde_json read.
    fn is_large<E: serde::de::Error>(&mut self) -> Result<bool, E> {
        let place = self.numbers;
        self.numbers += 1;
        match self.large.front() {
            Some((index, _)) if *index == place => {}
            _ => return Ok(false),
        }
        let Some((_, large)) = self.large.pop_front() else { return Ok(false) };
        let magnitude = large.magnitude().ok_or_else(|| {
            E::custom(format_args!("an integer of more than {} digits", integer::MAX_DIGITS))
        })?;
        if magnitude.is_empty() {
            self.sink.unsigned(0);
        } else {
            self.sink.big(large.negative, &magnitude).map_err(E::custom)?;
        }
        Ok(true)
    }
}

struct Value<'r, 's, 'f, S>(&'r mut Reader<'s, 'f, S>);

impl<'de, 'f, S: TermSink<'f>> DeserializeSeed<'de> for Value<'_, '_, 'f, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'f, S: TermSink<'f>> Visitor<'de> for Value<'_, '_, 'f, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.sink.word(if value { Word::True } else { Word::False });
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.sink.word(Word::Nil);
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        if !self.0.is_large()? {
            self.0.sink.signed(value);
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        if !self.0.is_large()? {
            self.0.sink.unsigned(value);
        }
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        // -0 is read as a float too; so is every integer that fits no 64 bits.
        self.0.inexact |= value.abs() >= i64::MAX as f64 || value == 0.0 && value.is_sign_negative();
        if !self.0.is_large()? {
            self.0.sink.float(value);
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.sink.binary(text.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let list = self.0.sink.begin_list();
        let mut count = 0;
        while items.next_element_seed(Value(self.0))?.is_some() {
            count += 1;
        }
        self.0.sink.end_list(list, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let map = self.0.sink.begin_map();
        let mut count = 0;
        while entries.next_key_seed(Key(self.0))?.is_some() {
            entries.next_value_seed(Value(self.0))?;
            count += 1;
        }
        self.0.sink.end_map(map, count);
        Ok(())
    }
}

struct Key<'r, 's, 'f, S>(&'r mut Reader<'s, 'f, S>);

impl<'de, 'f, S: TermSink<'f>> DeserializeSeed<'de> for Key<'_, '_, 'f, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'f, S: TermSink<'f>> Visitor<'_> for Key<'_, '_, 'f, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.sink.key(text.as_bytes());
        Ok(())
    }
}
