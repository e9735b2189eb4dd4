//! A sink that writes the external term format as it goes, and a reader of what it wrote.

use std::collections::BTreeMap;
use std::ops::Range;

use terms::sink::{Name, Origin, Refused, Side, TermSink};
use terms::time::{self, Created};
use terms::word::{Shape, Word};

/// Writes bytes, the outermost first: what is known only at the end is filled in then.
pub struct External {
    bytes: Vec<u8>,
    /// Where the keys of the maps that are being written stand.
    keys: Vec<Range<usize>>,
}

impl Default for External {
    fn default() -> Self {
        Self { bytes: vec![131], keys: Vec::new() }
    }
}

impl External {
    pub fn into_bytes(self) -> Vec<u8> {
        assert!(self.keys.is_empty(), "a map was not ended");
        self.bytes
    }

    fn put(&mut self, tag: u8, rest: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(rest);
    }

    fn length(&mut self, tag: u8, length: usize) {
        self.put(tag, &u32::try_from(length).unwrap().to_be_bytes());
    }

    fn fill(&mut self, at: usize, length: usize) {
        self.bytes[at..at + 4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    }

    fn integer(&mut self, negative: bool, magnitude: u64) {
        let small = i32::try_from(if negative { -i128::from(magnitude) } else { i128::from(magnitude) });
        match small {
            Ok(small @ 0..=255) => self.put(97, &[small as u8]),
            Ok(small) => self.put(98, &small.to_be_bytes()),
            Err(_) => {
                let bytes = magnitude.to_le_bytes();
                let count = 8 - magnitude.leading_zeros() as usize / 8;
                self.put(110, &[count as u8, u8::from(negative)]);
                self.bytes.extend_from_slice(&bytes[..count]);
            }
        }
    }
}

/// What is open: where its length stands, and how many keys were there before.
#[derive(Clone, Copy)]
pub struct Open {
    length: usize,
    keys: usize,
}

impl<'f> TermSink<'f> for External {
    type Mark = (usize, usize);
    type Open = Open;

    fn mark(&self) -> Self::Mark {
        (self.bytes.len(), self.keys.len())
    }

    fn rewind(&mut self, (bytes, keys): Self::Mark) {
        self.bytes.truncate(bytes);
        self.keys.truncate(keys);
    }

    fn word(&mut self, word: Word) {
        self.put(119, &[u8::try_from(word.name().len()).unwrap()]);
        self.bytes.extend_from_slice(word.name().as_bytes());
    }

    fn unsigned(&mut self, value: u64) {
        self.integer(false, value);
    }

    fn signed(&mut self, value: i64) {
        self.integer(value < 0, value.unsigned_abs());
    }

    fn big(&mut self, negative: bool, magnitude: &[u8]) -> Result<(), Refused> {
        match u8::try_from(magnitude.len()) {
            Ok(count) => self.put(110, &[count]),
            Err(_) => self.length(111, magnitude.len()),
        }
        self.bytes.push(u8::from(negative));
        self.bytes.extend_from_slice(magnitude);
        Ok(())
    }

    fn float(&mut self, value: f64) {
        self.put(70, &value.to_be_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.length(109, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn part(&mut self, bytes: &'f [u8]) {
        self.binary(bytes);
    }

    fn body(&mut self, _side: Side, bytes: &'f [u8]) {
        self.binary(bytes);
    }

    fn name(&mut self, _name: Name, bytes: &'f [u8]) {
        self.binary(bytes);
    }

    fn time(&mut self, created: Created) {
        time::write(self, created);
    }

    /// Who reads a stream to its end has neither.
    fn origin(&mut self, _origin: Origin) {
        self.word(Word::Nil);
    }

    fn begin_tuple(&mut self, size: usize) {
        self.put(104, &[u8::try_from(size).unwrap()]);
    }

    fn end_tuple(&mut self, _size: usize) {}

    fn begin_list(&mut self) -> Open {
        let open = Open { length: self.bytes.len() + 1, keys: self.keys.len() };
        self.length(108, 0);
        open
    }

    fn end_list(&mut self, list: Open, count: usize) {
        if count == 0 {
            self.bytes.truncate(list.length - 1);
        } else {
            self.fill(list.length, count);
        }
        self.bytes.push(106);
    }

    fn begin_map(&mut self) -> Open {
        let open = Open { length: self.bytes.len() + 1, keys: self.keys.len() };
        self.length(116, 0);
        open
    }

    fn key(&mut self, key: &[u8]) {
        let start = self.bytes.len();
        self.binary(key);
        self.keys.push(start..self.bytes.len());
    }

    fn end_map(&mut self, map: Open, count: usize) {
        let keys: Vec<_> = self.keys.drain(map.keys..).collect();
        assert_eq!(keys.len(), count);
        // the format has each key once: each pair up to the next key, the last of equal ones
        let ends = keys.iter().skip(1).map(|next| next.start).chain([self.bytes.len()]);
        let pairs: BTreeMap<_, _> = keys
            .iter()
            .zip(ends)
            .map(|(key, end)| (self.bytes[key.clone()].to_vec(), self.bytes[key.start..end].to_vec()))
            .collect();
        if pairs.len() < count {
            self.bytes.truncate(map.length + 4);
            self.bytes.extend(pairs.values().flatten());
        }
        self.fill(map.length, pairs.len());
    }

    fn begin_record(&mut self, shape: Shape) {
        self.length(116, shape.words().len());
    }

    fn field(&mut self, word: Word) {
        self.word(word);
    }

    fn end_record(&mut self, _shape: Shape) {}
}

/// A term as a reader of the format finds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Atom(String),
    Integer(i128),
    /// An integer of more than 128 bits: its sign and its magnitude.
    Big(bool, Vec<u8>),
    Float(f64),
    Binary(Vec<u8>),
    Tuple(Vec<Term>),
    List(Vec<Term>),
    Map(Vec<(Term, Term)>),
}

/// Reads what is one term, to its last byte.
pub fn read(bytes: &[u8]) -> Term {
    let (version, mut rest) = bytes.split_first().unwrap();
    assert_eq!(*version, 131);
    let term = term(&mut rest);
    assert!(rest.is_empty(), "{} bytes behind the term", rest.len());
    term
}

fn take<'b>(rest: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, after) = rest.split_at(count);
    *rest = after;
    taken
}

fn number(rest: &mut &[u8], size: usize) -> usize {
    take(rest, size).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn term(rest: &mut &[u8]) -> Term {
    match number(rest, 1) {
        97 => Term::Integer(number(rest, 1) as i128),
        98 => Term::Integer(i32::from_be_bytes(take(rest, 4).try_into().unwrap()).into()),
        tag @ (110 | 111) => {
            let count = number(rest, if tag == 110 { 1 } else { 4 });
            let negative = number(rest, 1) == 1;
            big(negative, take(rest, count))
        }
        70 => Term::Float(f64::from_be_bytes(take(rest, 8).try_into().unwrap())),
        109 => {
            let count = number(rest, 4);
            Term::Binary(take(rest, count).to_vec())
        }
        119 => {
            let count = number(rest, 1);
            Term::Atom(String::from_utf8(take(rest, count).to_vec()).unwrap())
        }
        104 => {
            let count = number(rest, 1);
            Term::Tuple((0..count).map(|_| term(rest)).collect())
        }
        106 => Term::List(Vec::new()),
        108 => {
            let count = number(rest, 4);
            let list = (0..count).map(|_| term(rest)).collect();
            assert_eq!(number(rest, 1), 106);
            Term::List(list)
        }
        116 => {
            let count = number(rest, 4);
            Term::Map((0..count).map(|_| (term(rest), term(rest))).collect())
        }
        other => panic!("{other} is no tag"),
    }
}

fn big(negative: bool, magnitude: &[u8]) -> Term {
    assert_ne!(magnitude.last(), Some(&0));
    if magnitude.len() > 15 {
        return Term::Big(negative, magnitude.to_vec());
    }
    let value = magnitude.iter().rev().fold(0_i128, |value, byte| value << 8 | i128::from(*byte));
    Term::Integer(if negative { -value } else { value })
}
