//! The log as it is read: its segments, what is known of its streams, and the storage that it makes with that.

mod by_position;
mod by_revision;

use std::iter;
use std::sync::Arc;

use store_core::{Direction, PageSize, Record, Show, Storage, StorageError, StreamNumber, StreamRow, Write};

use crate::form::aligned;
use crate::frame::{self, Entry};
use crate::helper::Helper;
use crate::index::Index;
use crate::sealed::{Lookup, Sealed};
use crate::segment::{HEAD, Head};
use crate::shared::{Seal, Shared};
use crate::window::{SINGLE, Seen, Window};

/// The events of a stream in a sealed segment.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which of the sealed segments.
    pub sealed: u32,
    /// Where in its index their places begin.
    pub place: u32,
    /// The revision of the first.
    pub first: u64,
}

/// A stream.
#[derive(Debug)]
pub struct Chain {
    pub name: Arc<str>,
    pub last: Option<u64>,
    pub tombstoned: bool,
    pub runs: Vec<Run>,
}

impl Chain {
    pub fn new(name: Arc<str>) -> Self {
        Self { name, last: None, tombstoned: false, runs: Vec::new() }
    }
}

/// The segment that is written to.
pub struct Active {
    pub head: Head,
    pub index: Index,
    /// Where what readers see of it ends.
    pub end: u64,
}

/// The log, as it is read.
pub struct Log {
    pub shared: Arc<Shared>,
    pub helper: Arc<Helper>,
    pub streams: Vec<Chain>,
    pub sealed: Vec<Arc<Sealed>>,
    pub active: Active,
    pub position: u64,
}

impl Log {
    /// The segment that was written to is sealed; what is written now is in another.
    fn seal(&mut self, number: u32) {
        let seal = self.shared.seals.lock().ok().and_then(|mut seals| seals.remove(&self.active.head.number));
        let former = Seal { end: self.active.end, chain: 0, position: self.position };
        let seal = seal.unwrap_or(former);
        let head = Head {
            number,
            position: seal.position,
            streams: self.streams.len() as StreamNumber,
            former_length: seal.end,
            former_chain: seal.chain,
            ..self.active.head
        };
        let active = Active { head, index: Index::default(), end: HEAD };
        let former = std::mem::replace(&mut self.active, active);
        let index = Arc::new(former.index);
        for (stream, place, run) in index.in_order() {
            if let Some(chain) = self.streams.get_mut(stream as usize) {
                chain.runs.push(Run { sealed: self.sealed.len() as u32, place, first: run.first });
            }
        }
        let sealed = Arc::new(Sealed::new(former.head, seal, Lookup::Memory(index.clone())));
        self.sealed.push(sealed.clone());
        let shared = self.shared.clone();
        self.helper.run(move || sealed.write_index(&shared, &index));
    }

    fn window(&self, segment: usize) -> Window<'_> {
        let (number, end) = match self.sealed.get(segment) {
            Some(sealed) => (sealed.head.number, sealed.seal.end),
            None => (self.active.head.number, self.active.end),
        };
        Window::new(&self.shared, number, end)
    }

    fn salt(&self, segment: usize) -> u32 {
        self.sealed.get(segment).map_or(self.active.head.salt(), |sealed| sealed.head.salt())
    }

    fn name(&self, stream: StreamNumber) -> Result<&Arc<str>, StorageError> {
        let chain = self.streams.get(stream as usize);
        let unnamed = || StorageError::Failed(format!("stream {stream} has no name"));
        chain.map(|chain| &chain.name).ok_or_else(unnamed)
    }

    fn record(&self, window: &Window<'_>, event: &Seen) -> Result<Record, StorageError> {
        Ok(event.head.record(self.name(event.head.stream)?, window.slice(event)))
    }

    /// The revision of the event at an offset, if it has the id.
    fn revision_at(
        &self,
        segment: usize,
        offset: u32,
        stream: StreamNumber,
        id: u128,
    ) -> Result<Option<u64>, StorageError> {
        let head = self.window(segment).event(u64::from(offset), SINGLE)?.head;
        Ok((head.stream == stream && head.id == id).then_some(head.revision))
    }
}

/// Items until there is none; after an error there are none either.
fn until_none<T>(
    mut step: impl FnMut() -> Result<Option<T>, StorageError>,
) -> impl Iterator<Item = Result<T, StorageError>> {
    let mut failed = false;
    iter::from_fn(move || {
        if failed {
            return None;
        }
        let item = step().transpose();
        failed = matches!(item, Some(Err(_)));
        item
    })
}

impl Storage for Log {
    fn keep(&mut self, change: Write) {
        let (number, start) = ((change.kept >> 32) as u32, change.kept & 0xffff_ffff);
        if number != self.active.head.number {
            self.seal(number);
        }
        let known = self.streams.len() as StreamNumber;
        self.active.end = start + frame::frame_length(&change, known);
        let mut offset = start + frame::before_records(&change, known);
        for row in change.streams {
            if self.streams.len() <= row.number as usize {
                self.streams.push(Chain::new(row.name.clone()));
                self.active.index.names.push((row.number, row.name));
            }
            if let Some(chain) = self.streams.get_mut(row.number as usize) {
                (chain.last, chain.tombstoned) = (row.last, row.tombstoned);
            }
        }
        for (left, record) in (1..=change.records.len() as u32).rev().zip(&change.records) {
            self.active.index.add(Entry::of(record), offset, left);
            offset += frame::record_length(record);
        }
        debug_assert_eq!(aligned(offset), self.active.end);
        self.position = change.head;
    }

    fn streams(&self) -> Result<(Vec<StreamRow>, u64), StorageError> {
        let rows = (0..).zip(&self.streams).map(|(number, chain)| {
            let Chain { name, last, tombstoned, .. } = chain;
            StreamRow { name: name.clone(), number, last: *last, tombstoned: *tombstoned }
        });
        Ok((rows.collect(), self.position))
    }

    fn event(&self, stream: StreamNumber, revision: u64) -> Result<Option<Record>, StorageError> {
        self.at_revision(stream, revision)
    }

    fn show_stream(
        &self,
        stream: StreamNumber,
        from: u64,
        direction: Direction,
        size: PageSize,
        show: Show<'_>,
    ) -> Result<(), StorageError> {
        if direction == Direction::Forwards {
            return self.show_forwards(stream, from, size, show);
        }
        let records = size.take(self.backwards(stream, from, size))?;
        records.iter().try_for_each(|record| show(record.view()))
    }

    fn log_page(&self, from: u64, direction: Direction, size: PageSize) -> Result<Vec<Record>, StorageError> {
        match direction {
            Direction::Forwards => size.take(self.log_forwards(from, size)),
            Direction::Backwards => size.take(self.log_backwards(from)),
        }
    }

    fn revision_of(&self, stream: StreamNumber, id: u128) -> Result<Option<u64>, StorageError> {
        let Some(chain) = self.streams.get(stream as usize) else { return Ok(None) };
        for run in &chain.runs {
            let segment = run.sealed as usize;
            let Some(sealed) = self.sealed.get(segment) else { continue };
            let found = sealed.lookup().candidates(&self.shared, sealed.head.number, stream, id)?;
            for offset in found {
                if let Some(revision) = self.revision_at(segment, offset, stream, id)? {
                    return Ok(Some(revision));
                }
            }
        }
        match self.active.index.ids.get(&(stream, id)) {
            Some(offset) => self.revision_at(self.sealed.len(), *offset, stream, id),
            None => Ok(None),
        }
    }
}
