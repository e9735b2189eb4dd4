//! JSON text to terms.
//!
//! Objects become maps with binaries as keys (of equal keys the last one counts), null becomes nil. Integers are
//! exact whatever their size: serde_json makes floats of those beyond 64 bits, so a document that has one is read
//! once more, with the exact texts of such integers at hand.

use std::collections::VecDeque;
use std::fmt;

use rustler::{Encoder, Env, Term};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::integer;
use crate::sys::{Terms, binary};

/// Reads one document.
pub fn decode<'a>(env: Env<'a>, text: &[u8]) -> Result<Term<'a>, serde_json::Error> {
    let mut reader = Reader::new(env, VecDeque::new());
    let read = reader.document(text);
    let inexact = match &read {
        Ok(_) => reader.inexact,
        Err(error) => error.is_syntax() && error.to_string().starts_with("number out of range"),
    };
    if !inexact {
        return read;
    }
    let found = integer::find_large(text);
    if found.integers.is_empty() {
        return read;
    }
    Reader::new(env, found.integers.into()).document(&found.text)
}

struct Reader<'a> {
    env: Env<'a>,
    keys: Terms<'a>,
    values: Terms<'a>,
    /// How many numbers have been read.
    numbers: usize,
    /// A float was read that may have been written as an integer.
    inexact: bool,
    /// The integers beyond 64 bits that are still to come, by the count of numbers before them.
    large: VecDeque<(usize, integer::Large)>,
}

impl<'a> Reader<'a> {
    fn new(env: Env<'a>, large: VecDeque<(usize, integer::Large)>) -> Self {
        Self { env, keys: Terms::new(env), values: Terms::new(env), numbers: 0, inexact: false, large }
    }

    fn document(&mut self, text: &[u8]) -> Result<Term<'a>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let term = Value(self).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(term)
    }

    /// Counts a number; answers the large integer that stands here in place of what serde_json read.
    fn number<E: serde::de::Error>(&mut self) -> Result<Option<Term<'a>>, E> {
        let place = self.numbers;
        self.numbers += 1;
        match self.large.front() {
            Some((index, _)) if *index == place => {}
            _ => return Ok(None),
        }
        let Some((_, large)) = self.large.pop_front() else { return Ok(None) };
        let term = integer::term(self.env, &large).ok_or_else(|| {
            E::custom(format_args!("an integer of more than {} digits", integer::MAX_DIGITS))
        })?;
        Ok(Some(term))
    }
}

struct Value<'r, 'a>(&'r mut Reader<'a>);

impl<'de, 'a> DeserializeSeed<'de> for Value<'_, 'a> {
    type Value = Term<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Term<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'a> Visitor<'de> for Value<'_, 'a> {
    type Value = Term<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Term<'a>, E> {
        Ok(value.encode(self.0.env))
    }

    fn visit_unit<E>(self) -> Result<Term<'a>, E> {
        Ok(rustler::types::atom::nil().to_term(self.0.env))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Term<'a>, E> {
        let large = self.0.number()?;
        Ok(large.unwrap_or_else(|| value.encode(self.0.env)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Term<'a>, E> {
        let large = self.0.number()?;
        Ok(large.unwrap_or_else(|| value.encode(self.0.env)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Term<'a>, E> {
        // -0 is read as a float too; so is every integer that fits no 64 bits.
        self.0.inexact |= value.abs() >= i64::MAX as f64 || value == 0.0 && value.is_sign_negative();
        let large = self.0.number()?;
        Ok(large.unwrap_or_else(|| value.encode(self.0.env)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Term<'a>, E> {
        Ok(binary(self.0.env, text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Term<'a>, A::Error> {
        let from = self.0.values.len();
        while let Some(item) = items.next_element_seed(Value(self.0))? {
            self.0.values.push(item);
        }
        Ok(self.0.values.list(from))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Term<'a>, A::Error> {
        let (keys_from, from) = (self.0.keys.len(), self.0.values.len());
        while let Some(key) = entries.next_key_seed(Key(self.0.env))? {
            let value = entries.next_value_seed(Value(self.0))?;
            self.0.keys.push(key);
            self.0.values.push(value);
        }
        let Reader { keys, values, .. } = self.0;
        Ok(values.map(keys, keys_from, from))
    }
}

struct Key<'a>(Env<'a>);

impl<'de, 'a> DeserializeSeed<'de> for Key<'a> {
    type Value = Term<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Term<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = Term<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<Term<'a>, E> {
        Ok(binary(self.0, text.as_bytes()))
    }
}
