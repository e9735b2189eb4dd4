//! The messages of one batch, kept alive by the binaries that point into them.

use bytes::Bytes;
use rustler::{Env, Resource, ResourceArc, Term};

/// The messages of one batch.
pub struct Frame {
    messages: Vec<Bytes>,
    /// What tells the partition of each; none where there are no partitions.
    hashes: Vec<u64>,
}

#[rustler::resource_impl]
impl Resource for Frame {}

impl Frame {
    /// Takes the messages of a batch.
    pub fn new(messages: Vec<Bytes>) -> ResourceArc<Self> {
        Self::with_hashes(messages, Vec::new())
    }

    /// The same, with a number for each that tells its partition.
    pub fn with_hashes(messages: Vec<Bytes>, hashes: Vec<u64>) -> ResourceArc<Self> {
        ResourceArc::new(Self { messages, hashes })
    }

    /// The messages, in their order.
    pub fn messages(&self) -> &[Bytes] {
        &self.messages
    }

    /// What tells the partition of a message.
    pub fn hash(&self, message: usize) -> u64 {
        self.hashes.get(message).copied().unwrap_or(0)
    }
}

/// A binary that is `part` of the frame's message at `index`, without a copy; `None` when it is no part of it.
pub fn part<'a>(env: Env<'a>, frame: &ResourceArc<Frame>, index: usize, part: &[u8]) -> Option<Term<'a>> {
    let message = frame.messages.get(index)?;
    let start = part.as_ptr().addr().checked_sub(message.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    message.get(range.clone())?;
    let binary = frame.make_binary(env, |frame: &Frame| {
        frame.messages.get(index).and_then(|message| message.get(range)).unwrap_or_default()
    });
    Some(binary.to_term(env))
}
