//! An event as it was read, and its term: `%Penstock.Event{}`.

use uuid::Uuid;

use crate::calendar::Created;
use crate::json;
use crate::sink::{Name, Origin, Side, TermSink};
use crate::word::{Shape, Word};

/// An event as a read gives it, of which so much is kept as an `R` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read<R> {
    /// The event itself; `None` when `link` points at nothing.
    pub event: Option<R>,
    /// The link that led to the event.
    pub link: Option<R>,
    /// The position in the log, of the link if there is one.
    pub commit_position: Option<u64>,
}

/// An event with all that is known of it.
pub type ReadEvent<'a> = Read<Recorded<'a>>;

impl<R> Read<R> {
    /// What stands in the stream that was read: the link if there is one, else the event.
    pub fn original(&self) -> Option<&R> {
        self.link.as_ref().or(self.event.as_ref())
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

impl Recorded<'_> {
    /// Whether its writer says that the body is JSON.
    pub fn is_json(&self) -> bool {
        self.content_type == b"application/json"
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

/// Writes an event; `decode` makes terms of JSON bodies instead of their text.
///
/// A link whose target is gone has no event: id, type and body are nil, and the metadata is the link's.
pub fn write<'f, S: TermSink<'f>>(sink: &mut S, read: &ReadEvent<'f>, decode: bool) {
    match (&read.event, &read.link) {
        (Some(event), link) => {
            let writer = Writer { recorded: event, side: Side::Event, decode };
            writer.write(sink, link.as_ref());
        }
        (None, link) => {
            let link = link.unwrap_or_default();
            let link = Writer { recorded: &link, side: Side::Link, decode };
            link.gone(sink, read.link.is_some());
        }
    }
}

#[derive(Clone, Copy)]
struct Writer<'r, 'f> {
    recorded: &'r Recorded<'f>,
    side: Side,
    decode: bool,
}

impl<'f> Writer<'_, 'f> {
    fn write<S: TermSink<'f>>(self, sink: &mut S, link: Option<&Recorded<'f>>) {
        sink.begin_record(Shape::Event);
        for word in Shape::Event.words() {
            sink.field(*word);
            match word {
                Word::Struct => sink.word(Word::Event),
                Word::Body => self.body(sink),
                Word::Id => sink.binary(self.recorded.id.text(&mut [0; ID_LENGTH])),
                Word::Link => Self::link(sink, link),
                Word::Metadata => self.metadata(sink, self.is_text()),
                _ => sink.name(Name::Type(self.side), self.recorded.event_type),
            }
        }
        sink.end_record(Shape::Event);
    }

    /// An event of which nothing is left but the link that leads to it.
    fn gone<S: TermSink<'f>>(self, sink: &mut S, is_linked: bool) {
        sink.begin_record(Shape::Event);
        for word in Shape::Event.words() {
            sink.field(*word);
            match word {
                Word::Struct => sink.word(Word::Event),
                Word::Link => Self::link(sink, is_linked.then_some(self.recorded)),
                Word::Metadata => self.metadata(sink, false),
                _ => sink.word(Word::Nil),
            }
        }
        sink.end_record(Shape::Event);
    }

    fn link<S: TermSink<'f>>(sink: &mut S, link: Option<&Recorded<'f>>) {
        match link {
            // A link's body is a position, whatever its content type says.
            Some(link) => Writer { recorded: link, side: Side::Link, decode: false }.write(sink, None),
            None => sink.word(Word::Nil),
        }
    }

    /// What is written again as JSON text has to be told from what becomes JSON.
    fn is_text(self) -> bool {
        self.recorded.is_json() && !self.decode
    }

    fn body<S: TermSink<'f>>(self, sink: &mut S) {
        if !self.decode || !self.recorded.is_json() {
            return sink.body(self.side, self.recorded.data);
        }
        if json::write(sink, self.recorded.data).is_err() {
            sink.begin_tuple(2);
            sink.word(Word::Undecodable);
            sink.body(self.side, self.recorded.data);
            sink.end_tuple(2);
        }
    }

    fn metadata<S: TermSink<'f>>(self, sink: &mut S, with_text: bool) {
        let Recorded {
            stream, revision, prepare, commit, content_type, created, custom_metadata, data, ..
        } = *self.recorded;
        let shape = if with_text { Shape::RawMetadata } else { Shape::Metadata };
        sink.begin_record(shape);
        for word in shape.words() {
            sink.field(*word);
            match word {
                Word::CommitPosition => sink.unsigned(commit),
                Word::ContentType => sink.name(Name::ContentType(self.side), content_type),
                // whoever reads an event lets none pass whose time is none
                Word::Created => sink.time(Created::from_ticks(created.unwrap_or_default())),
                Word::CustomMetadata => sink.part(custom_metadata),
                Word::PreparePosition => sink.unsigned(prepare),
                Word::Producer => sink.origin(Origin::Producer),
                Word::RawBody => sink.body(self.side, data),
                Word::StreamName => sink.name(Name::Stream(self.side), stream),
                Word::StreamRevision => sink.unsigned(revision),
                _ => sink.origin(Origin::Subscription),
            }
        }
        sink.end_record(shape);
    }
}
