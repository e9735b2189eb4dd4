//! What a place for terms must offer.

use crate::calendar::Created;
use crate::word::{Shape, Word};

/// Whose part of an event's term something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The event's own.
    Event,
    /// Of the link that led to it.
    Link,
}

/// A binary that is often the same for events in a row, so that it may be kept as a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The stream.
    Stream(Side),
    /// The event's type.
    Type(Side),
    /// Its content type.
    ContentType(Side),
    /// The zone of every time.
    Zone,
    /// That zone in short.
    ZoneAbbreviation,
}

/// A term that is known only where events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The producer of the event.
    Producer,
    /// The subscription that it came by.
    Subscription,
}

/// The sink cannot hold a term like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such term can be made")]
pub struct Refused;

/// Takes terms one after the other: what is inside of another comes after that was begun and before it is ended.
///
/// It fits a builder, which makes a term when all its parts are there, and a writer of bytes, which begins with the
/// outermost. `'f` is the life of the messages that are read: what is borrowed for so long may be kept.
pub trait TermSink<'f> {
    /// A place to go back to.
    type Mark: Copy;
    /// A list or map that was begun.
    type Open: Copy;

    /// Where the next term goes.
    fn mark(&self) -> Self::Mark;
    /// Takes back everything since the mark, ended or not.
    fn rewind(&mut self, mark: Self::Mark);

    /// An atom.
    fn word(&mut self, word: Word);
    /// An integer.
    fn unsigned(&mut self, value: u64);
    /// An integer.
    fn signed(&mut self, value: i64);
    /// An integer of any size, its magnitude as little-endian bytes without zeros at the end.
    fn big(&mut self, negative: bool, magnitude: &[u8]) -> Result<(), Refused>;
    /// A finite float.
    fn float(&mut self, value: f64);
    /// A binary.
    fn binary(&mut self, bytes: &[u8]);

    /// A binary that is a part of a message: shared with it, or a copy.
    fn part(&mut self, bytes: &'f [u8]);
    /// The same for a body, which may come twice in an event's term.
    fn body(&mut self, side: Side, bytes: &'f [u8]);
    /// A binary that may be the same as that of the event before.
    fn name(&mut self, name: Name, bytes: &'f [u8]);
    /// A term that is known here alone.
    fn origin(&mut self, origin: Origin);
    /// A time, as [`time::write`](crate::time::write) has it. It may be the same as that of the event before: then the
    /// term may be as well.
    fn time(&mut self, created: Created);

    /// Begins a tuple of so many terms.
    fn begin_tuple(&mut self, size: usize);
    /// Ends it.
    fn end_tuple(&mut self, size: usize);

    /// Begins a list.
    fn begin_list(&mut self) -> Self::Open;
    /// Ends the list of so many terms.
    fn end_list(&mut self, list: Self::Open, count: usize);

    /// Begins a map with binaries as keys.
    fn begin_map(&mut self) -> Self::Open;
    /// A key; its value follows.
    fn key(&mut self, key: &[u8]);
    /// Ends the map of so many keys with values. Of equal keys the last one counts.
    fn end_map(&mut self, map: Self::Open, count: usize);

    /// Begins a map with the keys of a shape.
    fn begin_record(&mut self, shape: Shape);
    /// A key; its value follows. They come in the shape's order.
    fn field(&mut self, word: Word);
    /// Ends it.
    fn end_record(&mut self, shape: Shape);
}
