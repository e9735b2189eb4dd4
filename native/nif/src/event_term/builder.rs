//! Terms in an environment, made as their parts are there.

use rustler::{Encoder, Env, ResourceArc, Term};
use terms::sink::{Name, Origin, Refused, Side, TermSink};
use terms::time::{self, Created};
use terms::word::{Shape, Word};

use super::atoms::Atoms;
use super::keys::Keys;
use crate::frame::{self, Frame};
use crate::sys::{self, Orders, Terms};

/// Up to this size a binary lives on the heap of its process.
const HEAP_BINARY: usize = 64;

/// So many parts of an event wait at most before they are in place, but for those of its body: growing to them step by
/// step costs an event alone more than anything else here.
const PARTS: usize = 48;

/// How many kinds of [`Name`] there are.
const NAMES: usize = 8;

/// What is known of the messages whose parts come, and of who reads them.
pub struct Source<'a, 'f> {
    /// What keeps the messages.
    pub frame: &'f ResourceArc<Frame>,
    /// Every part as a binary of its own, so that none keeps the messages in memory.
    pub copy: bool,
    pub producer: Term<'a>,
    pub subscription: Term<'a>,
}

/// Makes terms, one after the other.
pub struct Builder<'a, 'f> {
    env: Env<'a>,
    atoms: &'static Atoms,
    keys: Terms<'a>,
    values: Terms<'a>,
    known: Keys<'a>,
    orders: Orders<'a>,
    source: Option<Source<'a, 'f>>,
    /// Which of the frame's messages is read.
    message: usize,
    names: [Option<Kept<'a, 'f>>; NAMES],
    bodies: [Option<Kept<'a, 'f>>; 2],
    time: Option<(Created, Term<'a>)>,
}

/// A term that was made of these bytes.
#[derive(Clone, Copy)]
struct Kept<'a, 'f> {
    bytes: &'f [u8],
    term: Term<'a>,
}

impl<'a, 'f> Builder<'a, 'f> {
    /// For terms that are no part of anything.
    pub fn new(env: Env<'a>) -> Self {
        Self {
            env,
            atoms: Atoms::get(env),
            keys: Terms::new(env),
            values: Terms::with_room(env, PARTS),
            known: Keys::new(),
            orders: Orders::new(),
            source: None,
            message: 0,
            names: [None; NAMES],
            bodies: [None; 2],
            time: None,
        }
    }

    /// For what is made of messages.
    pub fn of(env: Env<'a>, source: Source<'a, 'f>) -> Self {
        Self { source: Some(source), ..Self::new(env) }
    }

    /// Begins with a message of the frame.
    pub fn message(&mut self, index: usize) {
        self.message = index;
        self.bodies = [None; 2];
    }

    /// The term that was made last.
    pub fn take(&mut self) -> Term<'a> {
        self.values.pop().unwrap_or_else(|| self.atoms.word(Word::Nil).to_term(self.env))
    }

    fn made_of(&self, bytes: &'f [u8]) -> Term<'a> {
        match &self.source {
            Some(source) if !source.copy && bytes.len() > HEAP_BINARY => {
                frame::part(self.env, source.frame, self.message, bytes)
                    .unwrap_or_else(|| sys::binary(self.env, bytes))
            }
            _ => sys::binary(self.env, bytes),
        }
    }
}

fn place(name: Name) -> usize {
    match name {
        Name::Stream(Side::Event) => 0,
        Name::Type(Side::Event) => 1,
        Name::ContentType(Side::Event) => 2,
        Name::Stream(Side::Link) => 3,
        Name::Type(Side::Link) => 4,
        Name::ContentType(Side::Link) => 5,
        Name::Zone => 6,
        Name::ZoneAbbreviation => 7,
    }
}

impl<'a, 'f> TermSink<'f> for Builder<'a, 'f> {
    type Mark = (usize, usize);
    type Open = (usize, usize);

    fn mark(&self) -> Self::Mark {
        (self.keys.len(), self.values.len())
    }

    fn rewind(&mut self, (keys, values): Self::Mark) {
        self.keys.truncate(keys);
        self.values.truncate(values);
    }

    #[inline]
    fn word(&mut self, word: Word) {
        self.values.push(self.atoms.word(word).to_term(self.env));
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        self.values.push(value.encode(self.env));
    }

    #[inline]
    fn signed(&mut self, value: i64) {
        self.values.push(value.encode(self.env));
    }

    fn big(&mut self, negative: bool, magnitude: &[u8]) -> Result<(), Refused> {
        let length = u32::try_from(magnitude.len()).map_err(|_| Refused)?;
        // the external term format is the VM's one way to take an integer of any size
        let mut external = vec![131, 111];
        external.extend_from_slice(&length.to_be_bytes());
        external.push(u8::from(negative));
        external.extend_from_slice(magnitude);
        let (term, _) = self.env.binary_to_term(&external).ok_or(Refused)?;
        self.values.push(term);
        Ok(())
    }

    #[inline]
    fn float(&mut self, value: f64) {
        self.values.push(value.encode(self.env));
    }

    #[inline]
    fn binary(&mut self, bytes: &[u8]) {
        self.values.push(sys::binary(self.env, bytes));
    }

    fn part(&mut self, bytes: &'f [u8]) {
        let term = self.made_of(bytes);
        self.values.push(term);
    }

    fn body(&mut self, side: Side, bytes: &'f [u8]) {
        let place = side as usize;
        let term = match self.bodies.get(place) {
            Some(Some(kept)) if std::ptr::eq(kept.bytes, bytes) => kept.term,
            _ => self.made_of(bytes),
        };
        if let Some(kept) = self.bodies.get_mut(place) {
            *kept = Some(Kept { bytes, term });
        }
        self.values.push(term);
    }

    #[inline]
    fn name(&mut self, name: Name, bytes: &'f [u8]) {
        let term = match self.names.get_mut(place(name)) {
            Some(Some(kept)) if kept.bytes == bytes => kept.term,
            Some(kept) => {
                let term = sys::binary(self.env, bytes);
                *kept = Some(Kept { bytes, term });
                term
            }
            None => sys::binary(self.env, bytes),
        };
        self.values.push(term);
    }

    fn origin(&mut self, origin: Origin) {
        match (&self.source, origin) {
            (Some(source), Origin::Producer) => self.values.push(source.producer),
            (Some(source), Origin::Subscription) => self.values.push(source.subscription),
            (None, _) => self.word(Word::Nil),
        }
    }

    fn time(&mut self, created: Created) {
        match self.time {
            Some((last, term)) if last == created => self.values.push(term),
            _ => {
                time::write(self, created);
                self.time = self.values.last().map(|term| (created, term));
            }
        }
    }

    fn begin_tuple(&mut self, _size: usize) {}

    fn end_tuple(&mut self, size: usize) {
        self.values.tuple(size);
    }

    #[inline]
    fn begin_list(&mut self) -> Self::Open {
        self.mark()
    }

    #[inline]
    fn end_list(&mut self, (_, values): Self::Open, _count: usize) {
        let list = self.values.list(values);
        self.values.push(list);
    }

    #[inline]
    fn begin_map(&mut self) -> Self::Open {
        self.mark()
    }

    #[inline]
    fn key(&mut self, key: &[u8]) {
        self.keys.push(self.known.term(self.env, key));
    }

    #[inline]
    fn end_map(&mut self, (keys, values): Self::Open, _count: usize) {
        // the keys of others are terms of their own, in whose order no other map has them
        let orders = self.known.are_kept().then_some(&mut self.orders);
        let map = self.values.map(&mut self.keys, keys, values, orders);
        self.values.push(map);
    }

    #[inline]
    fn begin_record(&mut self, _shape: Shape) {}

    #[inline]
    fn field(&mut self, _word: Word) {}

    #[inline]
    fn end_record(&mut self, shape: Shape) {
        match self.atoms.shape(shape) {
            Some(keys) => self.values.record(keys),
            None => self.word(Word::Nil),
        }
    }
}
