//! `%Penstock.Event{}` terms, built from messages as they came from the server.

mod keys;
mod time;

use rustler::{Encoder as _, Env, ResourceArc, Term};
use wire::error::{Error, Which};
use wire::head::{Head, position_of};
use wire::recorded::{ID_LENGTH, Message, ReadEvent, Recorded, parse};

use crate::frame::{self, Frame};
use crate::{json, sys};
use keys::Keys;

/// Up to this size a binary lives on the heap of its process.
const HEAP_BINARY: usize = 64;

const JSON: &[u8] = b"application/json";

/// The event of a message; when it is none, an error that names its revision as far as that can be read.
pub fn readable(message: &[u8]) -> Result<ReadEvent<'_>, Error> {
    let wrong = match parse(message) {
        Ok(Message::Event(event)) => match event.check() {
            Ok(()) => return Ok(event),
            Err(error) => error.to_string(),
        },
        Ok(other) => format!("{other:?} where an event was expected"),
        Err(error) => error.to_string(),
    };
    let what = match position_of(message) {
        Ok(Head::Event(place)) => Which::Event(place.revision),
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
    env: Env<'a>,
    keys: &'static Keys,
    bodies: Bodies,
    frame: &'f ResourceArc<Frame>,
    producer: Term<'a>,
    subscription: Term<'a>,
    nil: Term<'a>,
    empty: Term<'a>,
    clock: time::Clock<'a>,
    event: Names<'a, 'f>,
    link: Names<'a, 'f>,
}

/// What events in a row often share.
struct Names<'a, 'f> {
    stream: Name<'a, 'f>,
    event_type: Name<'a, 'f>,
    content_type: Name<'a, 'f>,
}

#[derive(Clone, Copy)]
struct Name<'a, 'f> {
    bytes: &'f [u8],
    term: Term<'a>,
}

impl<'a, 'f> Name<'a, 'f> {
    fn term(&mut self, env: Env<'a>, bytes: &'f [u8]) -> Term<'a> {
        if self.bytes != bytes {
            *self = Name { bytes, term: sys::binary(env, bytes) };
        }
        self.term
    }
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
        let empty = sys::binary(env, b"");
        let name = Name { bytes: b"".as_slice(), term: empty };
        let names = || Names { stream: name, event_type: name, content_type: name };
        Self {
            env,
            keys: keys::keys(),
            bodies,
            frame,
            producer,
            subscription,
            nil: rustler::types::atom::nil().to_term(env),
            empty,
            clock: time::Clock::new(env),
            event: names(),
            link: names(),
        }
    }

    /// The event that was read from the frame's message at `index`.
    ///
    /// A link whose target is gone has no event: id, type and body are nil, and the metadata is the link's.
    pub fn event(&mut self, index: usize, read: &ReadEvent<'f>) -> Term<'a> {
        let link = match &read.link {
            Some(link) => {
                // A link's body is a position, whatever its content type says.
                let body = self.raw(index, link.data);
                self.recorded(index, link, body, true, self.nil)
            }
            None => self.nil,
        };
        match (&read.event, &read.link) {
            (Some(event), _) => {
                let body = self.body(index, event);
                self.recorded(index, event, body, false, link)
            }
            (None, original) => {
                let metadata = self.metadata(index, &original.unwrap_or_default(), true, None);
                self.built(self.nil, self.nil, self.nil, link, metadata)
            }
        }
    }

    fn recorded(
        &mut self,
        index: usize,
        event: &Recorded<'f>,
        body: Term<'a>,
        is_link: bool,
        link: Term<'a>,
    ) -> Term<'a> {
        let env = self.env;
        let mut buffer = [0; ID_LENGTH];
        let id = sys::binary(env, event.id.text(&mut buffer));
        let event_type = self.names(is_link).event_type.term(env, event.event_type);
        // What is written again as JSON text has to be told from what becomes JSON.
        let is_text = event.content_type == JSON && (is_link || !self.bodies.decode);
        let metadata = self.metadata(index, event, is_link, is_text.then_some(body));
        self.built(id, event_type, body, link, metadata)
    }

    fn names(&mut self, is_link: bool) -> &mut Names<'a, 'f> {
        if is_link { &mut self.link } else { &mut self.event }
    }

    fn built(
        &self,
        id: Term<'a>,
        event_type: Term<'a>,
        body: Term<'a>,
        link: Term<'a>,
        metadata: Term<'a>,
    ) -> Term<'a> {
        let module = self.keys.event_module.to_term(self.env);
        sys::record(self.env, &self.keys.event, [module, body, id, link, metadata, event_type])
    }

    fn metadata(
        &mut self,
        index: usize,
        event: &Recorded<'f>,
        is_link: bool,
        raw_body: Option<Term<'a>>,
    ) -> Term<'a> {
        let env = self.env;
        let names = self.names(is_link);
        let stream = names.stream.term(env, event.stream);
        let content_type = names.content_type.term(env, event.content_type);
        let commit = event.commit.encode(env);
        // `readable` lets no event pass whose time is none
        let created = self.clock.date_time(self.keys, event.created.unwrap_or_default());
        let custom = self.raw(index, event.custom_metadata);
        let (prepare, revision) = (event.prepare.encode(env), event.revision.encode(env));
        let (producer, subscription) = (self.producer, self.subscription);
        match raw_body {
            None => sys::record(
                env,
                &self.keys.metadata,
                [commit, content_type, created, custom, prepare, producer, stream, revision, subscription],
            ),
            Some(raw) => sys::record(
                env,
                &self.keys.raw_metadata,
                [
                    commit,
                    content_type,
                    created,
                    custom,
                    prepare,
                    producer,
                    raw,
                    stream,
                    revision,
                    subscription,
                ],
            ),
        }
    }

    fn body(&self, index: usize, event: &Recorded<'f>) -> Term<'a> {
        if !self.bodies.decode || event.content_type != JSON {
            return self.raw(index, event.data);
        }
        match json::decode(self.env, event.data) {
            Ok(term) => term,
            Err(_) => (self.keys.undecodable, self.raw(index, event.data)).encode(self.env),
        }
    }

    fn raw(&self, index: usize, bytes: &[u8]) -> Term<'a> {
        if bytes.is_empty() {
            self.empty
        } else if self.bodies.copy || bytes.len() <= HEAP_BINARY {
            sys::binary(self.env, bytes)
        } else {
            frame::part(self.env, self.frame, index, bytes).unwrap_or_else(|| sys::binary(self.env, bytes))
        }
    }
}
