//! What can be asked to be written, and what is decided about it.

use crate::event::NewEvent;
use crate::write::Write;

/// What a writer expects of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// That it has no events.
    NoStream,
    /// That it has events.
    StreamExists,
    /// That its last event has this revision.
    Revision(u64),
}

/// A request to write. Made wholly or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Appends events, if the stream is as expected.
    Append {
        /// The stream's name.
        stream: String,
        /// What it must be.
        expected: Expected,
        /// The events, perhaps none.
        events: Vec<NewEvent>,
    },
    /// Deletes a stream softly: its events are not read any more, and the next one continues their revisions. One
    /// that has only metadata can be deleted, too, and begins at 0.
    Delete {
        /// The stream's name.
        stream: String,
        /// What it must be.
        expected: Expected,
    },
    /// Deletes a stream for ever.
    Tombstone {
        /// The stream's name.
        stream: String,
        /// What it must be.
        expected: Expected,
    },
    /// Sets a stream's metadata, by an event of the store's own.
    SetMetadata {
        /// The name of the stream that is described.
        stream: String,
        /// What the stream of its metadata must be.
        expected: Expected,
        /// The metadata, in JSON.
        metadata: String,
    },
}

impl Command {
    /// The stream that it is about.
    #[must_use]
    pub fn stream(&self) -> &str {
        match self {
            Self::Append { stream, .. }
            | Self::Delete { stream, .. }
            | Self::Tombstone { stream, .. }
            | Self::SetMetadata { stream, .. } => stream,
        }
    }
}

/// What a request is answered that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, or was done before.
    Done {
        /// The revision of the last event of an append, unless the stream has none; nothing of a deletion.
        revision: Option<u64>,
        /// Where the last event is, or the one that says that the stream is deleted; unless it is not to be read any
        /// more.
        position: Option<u64>,
    },
    /// The stream is not as expected.
    Wrong {
        /// The revision of its last event.
        current: Option<u64>,
    },
}

/// What was decided about a request, or about several that belong together.
#[derive(Debug)]
pub struct Decision<A> {
    /// What it is answered, once the change is kept.
    pub answer: A,
    /// What is to be changed, if anything is.
    pub write: Option<Write>,
}
