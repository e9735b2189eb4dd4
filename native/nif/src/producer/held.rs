//! Batches of events as a producer's core sees them: how many there are, how large, and of which partition.

use bytes::Bytes;
use producer_core::{Frame as Batch, spread};
use rustler::ResourceArc;
use terms::event::{ID_LENGTH, Recorded};
use wire::error::Error;

use crate::event_term::readable;
use crate::frame::Frame;

fn weight(message: &Bytes) -> u32 {
    u32::try_from(terms::json::weight(message)).unwrap_or(u32::MAX)
}

/// A batch of undecoded events, kept alive by whoever holds a body of it.
#[derive(Clone)]
pub struct Held(pub ResourceArc<Frame>);

impl Held {
    /// Whether it is the same batch.
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(&raw const *self.0, &raw const *other.0)
    }
}

impl Batch for Held {
    fn events(&self) -> usize {
        self.0.messages().len()
    }

    fn bytes_of(&self, event: usize) -> usize {
        self.0.messages().get(event).map_or(0, |message| message.len())
    }

    fn weight_of(&self, event: usize) -> usize {
        self.0.weight(event)
    }

    fn hash_of(&self, event: usize) -> u64 {
        self.0.hash(event)
    }
}

/// What tells the partition of an event; of a link, what tells that of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Id,
    StreamName,
    Type,
}

impl By {
    fn hash(self, event: &Recorded<'_>) -> u64 {
        match self {
            Self::Id => spread(event.id.text(&mut [0; ID_LENGTH])),
            Self::StreamName => spread(event.stream),
            Self::Type => spread(event.event_type),
        }
    }
}

/// A batch as it came, with what its events weigh if their JSON is decoded, and with what tells their partitions if there
/// are any. It ends before the first event whose partition cannot be told, as that cannot be read; why not.
pub fn hold(mut messages: Vec<Bytes>, by: Option<By>, decode: bool) -> (Held, Option<Error>) {
    let weights = if decode { messages.iter().map(weight).collect() } else { Vec::new() };
    let Some(by) = by else { return (Held(Frame::weighed(messages, Vec::new(), weights)), None) };
    let mut hashes = Vec::with_capacity(messages.len());
    let mut fault = None;
    for message in &messages {
        match readable(message) {
            Ok(read) => {
                let event = read.event.as_ref().or(read.link.as_ref());
                hashes.push(event.map_or(0, |event| by.hash(event)));
            }
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    messages.truncate(hashes.len());
    (Held(Frame::weighed(messages, hashes, weights)), fault)
}
