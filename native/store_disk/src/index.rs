//! Where the events of one segment are, in memory: of the segment that is written to, and of others until their index
//! is written.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use store_core::{LAST_REVISION, StreamNumber};

use crate::frame::Entry;

/// A place from which the log can be read is known every so many bytes.
const BLOCK: u64 = 32 * 1024;

/// The events of one stream: their revisions follow one another.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The revision of the first.
    pub first: u64,
    /// Where each is.
    pub offsets: Vec<u32>,
}

/// A place from which the log can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The position of the event there.
    pub position: u64,
    /// Where it is.
    pub offset: u32,
    /// How many events of its frame there are from here on.
    pub left: u32,
}

/// The index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// How many events, tombstones among them.
    pub events: u32,
    /// Where the events of each stream are.
    pub streams: HashMap<StreamNumber, Run>,
    /// Where each id first is.
    pub ids: HashMap<(StreamNumber, u128), u32>,
    /// In the order of the log.
    pub blocks: Vec<Block>,
    /// Streams that begin here.
    pub names: Vec<(StreamNumber, Arc<str>)>,
    /// Streams that end here for ever.
    pub tombstones: Vec<StreamNumber>,
}

impl Index {
    /// Adds an event; `left` are the events of its frame from it on. Whether it continues its stream.
    pub fn add(&mut self, entry: Entry, offset: u64, left: u32) -> bool {
        let Entry { position, revision, stream, id } = entry;
        let offset = offset as u32;
        self.events += 1;
        let far = |last: &Block| u64::from(offset - last.offset) >= BLOCK;
        if self.blocks.last().is_none_or(far) {
            self.blocks.push(Block { position, offset, left });
        }
        if revision == LAST_REVISION {
            self.tombstones.push(stream);
            return true;
        }
        self.ids.entry((stream, id)).or_insert(offset);
        match self.streams.entry(stream) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(Run { first: revision, offsets: vec![offset] });
                true
            }
            hash_map::Entry::Occupied(mut entry) => {
                let run = entry.get_mut();
                let follows = run.first + run.offsets.len() as u64 == revision;
                run.offsets.push(offset);
                follows
            }
        }
    }

    /// The streams in the order in which their offsets are written, and where those begin.
    pub fn in_order(&self) -> Vec<(StreamNumber, u32, &Run)> {
        let mut runs: Vec<_> = self.streams.iter().map(|(number, run)| (*number, 0, run)).collect();
        runs.sort_unstable_by_key(|(number, ..)| *number);
        let mut place = 0;
        for (_, start, run) in &mut runs {
            *start = place;
            place += run.offsets.len() as u32;
        }
        runs
    }
}
