//! The messages of one batch, kept alive by the binaries that point into them.

use bytes::Bytes;
use rustler::{Env, Resource, ResourceArc, Term};

/// The messages of one batch.
pub struct Frame {
    messages: Vec<Bytes>,
    /// What tells the partition of each; none where there are no partitions.
    hashes: Vec<u64>,
    /// What each weighs in a budget; none where that is its length.
    weights: Vec<u32>,
}

#[rustler::resource_impl]
impl Resource for Frame {}

impl Frame {
    /// Takes the messages of a batch.
    pub fn new(messages: Vec<Bytes>) -> ResourceArc<Self> {
        Self::weighed(messages, Vec::new(), Vec::new())
    }

    /// The same, with a number for each that tells its partition, and with weights; either may be left out.
    pub fn weighed(messages: Vec<Bytes>, hashes: Vec<u64>, weights: Vec<u32>) -> ResourceArc<Self> {
        ResourceArc::new(Self { messages, hashes, weights })
    }

    /// The messages, in their order.
    pub fn messages(&self) -> &[Bytes] {
        &self.messages
    }

    /// What a message weighs in a budget.
    pub fn weight(&self, message: usize) -> usize {
        match self.weights.get(message) {
            Some(weight) => *weight as usize,
            None => self.messages.get(message).map_or(0, Bytes::len),
        }
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
