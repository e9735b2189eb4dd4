//! `%Penstock.Event{}` terms, built from messages as they came from the server.

mod atoms;
mod builder;
mod keys;

use rustler::{Env, ResourceArc, Term};
use terms::event::{self, ReadEvent};
use wire::error::{Error, Which};
use wire::recorded::{Message, check, parse, position_of};

use crate::frame::Frame;
pub use builder::Builder;
use builder::Source;

/// The event of a message; when it is none, an error that names its revision as far as that can be read.
pub fn readable(message: &[u8]) -> Result<ReadEvent<'_>, Error> {
    let wrong = match parse(message) {
        Ok(Message::Event(event)) => match check(&event) {
            Ok(()) => return Ok(event),
            Err(error) => error.to_string(),
        },
        Ok(other) => format!("{other:?} where an event was expected"),
        Err(error) => error.to_string(),
    };
    let what = match position_of(message) {
        Ok(Message::Event(place)) => Which::Event(place.revision),
        _ => Which::First,
    };
    Err(Error::Undecodable { what, message: wrong })
}

/// How bodies are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bodies {
    /// JSON bodies as terms instead of their text.
    pub decode: bool,
    /// Every body as a binary of its own, so that none keeps the messages of its batch in memory.
    pub copy: bool,
}

/// Builds the events of one batch in one environment.
pub struct Encoder<'a, 'f> {
    builder: Builder<'a, 'f>,
    decode: bool,
}

impl<'a, 'f> Encoder<'a, 'f> {
    /// For the messages of `frame`; `producer` and `subscription` are put into every event's metadata.
    pub fn new(
        env: Env<'a>,
        frame: &'f ResourceArc<Frame>,
        bodies: Bodies,
        producer: Term<'a>,
        subscription: Term<'a>,
    ) -> Self {
        let source = Source { frame, copy: bodies.copy, producer, subscription };
        Self { builder: Builder::of(env, source), decode: bodies.decode }
    }

    /// The event that was read from the frame's message at `index`.
    pub fn event(&mut self, index: usize, read: &ReadEvent<'f>) -> Term<'a> {
        self.builder.message(index);
        event::write(&mut self.builder, read, self.decode);
        self.builder.take()
    }
}
