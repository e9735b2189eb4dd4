//! Reading: where the events of every stream and of the log are, and the events.

use std::iter;
use std::sync::Arc;

use store_core::{Direction, PageSize, Record, Show, Storage, StorageError, StreamNumber, StreamRow, Write};

use crate::form::aligned;
use crate::frame::{self, Entry};
use crate::helper::Helper;
use crate::index::{Block, Index};
use crate::sealed::{Lookup, Sealed};
use crate::segment::{HEAD, Head};
use crate::shared::{Seal, Shared};
use crate::window::{MANY, SINGLE, Seen, Walk, Window};

/// How many events are read at once when reading backwards.
const BACKWARDS: usize = 32;
/// Events that are further apart are read one by one.
const APART: u64 = 4096;

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

/// Events of a stream that lie in one segment.
struct Piece {
    segment: usize,
    place: u32,
    first: u64,
    count: u64,
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

    /// In which segment a revision of a stream is, and what else of the stream is there.
    fn piece(&self, stream: StreamNumber, revision: u64) -> Option<Piece> {
        let chain = self.streams.get(stream as usize)?;
        let after = chain.last? + 1;
        let in_active = self.active.index.streams.get(&stream);
        let sealed_after = in_active.map_or(after, |run| run.first);
        if revision >= after {
            return None;
        }
        if let Some(run) = in_active.filter(|run| revision >= run.first) {
            let (first, count) = (run.first, run.offsets.len() as u64);
            return Some(Piece { segment: self.sealed.len(), place: 0, first, count });
        }
        let index = chain.runs.partition_point(|run| run.first <= revision).checked_sub(1)?;
        let run = chain.runs.get(index)?;
        let after = chain.runs.get(index + 1).map_or(sealed_after, |next| next.first);
        Some(Piece {
            segment: run.sealed as usize,
            place: run.place,
            first: run.first,
            count: after - run.first,
        })
    }

    /// Where events of a piece are.
    fn offsets(
        &self,
        stream: StreamNumber,
        piece: &Piece,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, StorageError> {
        match self.sealed.get(piece.segment) {
            Some(sealed) => {
                let place = (stream, piece.place);
                sealed.lookup().offsets(&self.shared, sealed.head.number, place, from, count)
            }
            None => {
                let offsets = self.active.index.streams.get(&stream).map(|run| run.offsets.as_slice());
                Ok(offsets.and_then(|offsets| offsets.get(from..from + count)).unwrap_or_default().to_vec())
            }
        }
    }

    /// Shows events of a stream that follow one another.
    fn show_forwards(
        &self,
        stream: StreamNumber,
        from: u64,
        size: PageSize,
        show: Show<'_>,
    ) -> Result<(), StorageError> {
        let (mut next, mut page) = (from, size.empty());
        while !page.is_full()
            && let Some(piece) = self.piece(stream, next)
        {
            let name = self.name(stream)?;
            let from = (next - piece.first) as usize;
            let count = (piece.count as usize - from).min(page.room().events);
            let offsets = self.offsets(stream, &piece, from, count)?;
            if offsets.is_empty() {
                break;
            }
            let mut window = self.window(piece.segment);
            // Their heads need room as well.
            let room = page.room().bytes as u64;
            let most = MANY.min(room.saturating_add(room / 4));
            for (offset, ahead) in with_ahead(offsets, most) {
                let event = self.expect(&mut window, offset, ahead, stream, next)?;
                let view = event.head.view(name, window.encoded(&event));
                page.add(view.sent_length());
                show(view)?;
                next += 1;
                if page.is_full() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Events of a stream in the other direction: some are read in the log's order, and turned around.
    fn backwards(
        &self,
        stream: StreamNumber,
        from: u64,
        size: PageSize,
    ) -> impl Iterator<Item = Result<Record, StorageError>> + '_ {
        let last = self.streams.get(stream as usize).and_then(|chain| chain.last);
        let mut next = last.map(|last| last.min(from));
        let mut held: Vec<Record> = Vec::new();
        let step = move || -> Result<Option<Record>, StorageError> {
            if let Some(record) = held.pop() {
                return Ok(Some(record));
            }
            let Some(revision) = next else { return Ok(None) };
            let Some(piece) = self.piece(stream, revision) else { return Ok(None) };
            let up_to = (revision - piece.first) as usize + 1;
            let count = up_to.min(BACKWARDS).min(size.events);
            let first = piece.first + (up_to - count) as u64;
            let offsets = self.offsets(stream, &piece, up_to - count, count)?;
            let mut window = self.window(piece.segment);
            for (revision, (offset, ahead)) in (first..).zip(with_ahead(offsets, MANY)) {
                let event = self.expect(&mut window, offset, ahead, stream, revision)?;
                held.push(self.record(&window, &event)?);
            }
            next = first.checked_sub(1);
            Ok(held.pop())
        };
        until_none(step)
    }

    /// The event at an offset, which must be this one.
    fn expect(
        &self,
        window: &mut Window<'_>,
        offset: u32,
        ahead: u64,
        stream: StreamNumber,
        revision: u64,
    ) -> Result<Seen, StorageError> {
        let event = window.event(u64::from(offset), ahead)?;
        if (event.head.stream, event.head.revision) != (stream, revision) {
            return Err(window.damaged("the event", u64::from(offset)));
        }
        Ok(event)
    }

    /// The segment and block in which a position is, or would be.
    fn block(&self, position: u64) -> (usize, usize) {
        let segment = match self.active.head.position <= position {
            true => self.sealed.len(),
            false => self.sealed.partition_point(|sealed| sealed.head.position <= position).saturating_sub(1),
        };
        let before =
            self.with_blocks(segment, |blocks| blocks.partition_point(|block| block.position <= position));
        (segment, before.saturating_sub(1))
    }

    fn with_blocks<T>(&self, segment: usize, look: impl FnOnce(&[Block]) -> T) -> T {
        match self.sealed.get(segment) {
            Some(sealed) => look(sealed.lookup().blocks()),
            None => look(&self.active.index.blocks),
        }
    }

    fn walk(&self, segment: usize, block: Block) -> Walk<'_> {
        Walk::new(self.window(segment), self.salt(segment), u64::from(block.offset), block.left)
    }

    fn log_forwards(
        &self,
        from: u64,
        size: PageSize,
    ) -> impl Iterator<Item = Result<Record, StorageError>> + '_ {
        let (mut segment, block) = self.block(from);
        let first = self.with_blocks(segment, |blocks| blocks.get(block).copied());
        let mut walk = first.map(|block| self.walk(segment, block));
        let ahead = if size.events == 1 { SINGLE } else { MANY };
        let step = move || -> Result<Option<Record>, StorageError> {
            loop {
                if let Some(walk) = &mut walk
                    && let Some(event) = walk.next(ahead)?
                {
                    if event.head.position < from {
                        continue;
                    }
                    return self.record(&walk.window, &event).map(Some);
                }
                if segment >= self.sealed.len() {
                    return Ok(None);
                }
                segment += 1;
                let first = self.with_blocks(segment, |blocks| blocks.first().copied());
                walk = first.map(|block| self.walk(segment, block));
            }
        };
        until_none(step)
    }

    fn log_backwards(&self, from: u64) -> impl Iterator<Item = Result<Record, StorageError>> + '_ {
        let mut next = Some(self.block(from));
        let mut held: Vec<Record> = Vec::new();
        let step = move || -> Result<Option<Record>, StorageError> {
            loop {
                if let Some(record) = held.pop() {
                    return Ok(Some(record));
                }
                let Some((segment, block)) = next else { return Ok(None) };
                let (this, following) = self.with_blocks(segment, |blocks| {
                    (blocks.get(block).copied(), blocks.get(block + 1).copied())
                });
                if let Some(this) = this {
                    let mut walk = self.walk(segment, this);
                    while following.is_none_or(|following| walk.offset() < u64::from(following.offset)) {
                        let Some(event) = walk.next(MANY)?.filter(|event| event.head.position < from) else {
                            break;
                        };
                        held.push(self.record(&walk.window, &event)?);
                    }
                }
                next = match (block.checked_sub(1), segment.checked_sub(1)) {
                    (Some(block), _) => Some((segment, block)),
                    (None, Some(segment)) => {
                        Some((segment, self.with_blocks(segment, |blocks| blocks.len().saturating_sub(1))))
                    }
                    (None, None) => None,
                };
            }
        };
        until_none(step)
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

/// Offsets, and how much to read at once from each: as far as the next events lie close together, and at most so much.
fn with_ahead(offsets: Vec<u32>, most: u64) -> Vec<(u32, u64)> {
    let (mut ahead, mut following) = (SINGLE, None);
    let mut all: Vec<_> = offsets.into_iter().map(|offset| (offset, SINGLE)).collect();
    for (offset, wanted) in all.iter_mut().rev() {
        let apart = following.map_or(u64::MAX, |next: u32| u64::from(next.saturating_sub(*offset)));
        ahead = if apart > APART { SINGLE } else { (apart + ahead).min(most) };
        (*wanted, following) = (ahead, Some(*offset));
    }
    all
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
        let Some(piece) = self.piece(stream, revision) else { return Ok(None) };
        let offsets = self.offsets(stream, &piece, (revision - piece.first) as usize, 1)?;
        let Some(offset) = offsets.first() else { return Ok(None) };
        let mut window = self.window(piece.segment);
        let event = self.expect(&mut window, *offset, SINGLE, stream, revision)?;
        self.record(&window, &event).map(Some)
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
