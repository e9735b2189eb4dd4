//! Reading the events of a stream, by their revisions.

use store_core::{PageSize, Record, Show, StorageError, StreamNumber};

use super::{Log, until_none};
use crate::window::{MANY, SINGLE, Seen, Window};

/// How many events are read at once when reading backwards.
const BACKWARDS: usize = 32;
/// Events that are further apart are read one by one.
const APART: u64 = 4096;

/// Events of a stream that lie in one segment.
struct Piece {
    segment: usize,
    place: u32,
    first: u64,
    count: u64,
}

impl Log {
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

    /// The event of a stream at a revision, if there is one.
    pub(super) fn at_revision(
        &self,
        stream: StreamNumber,
        revision: u64,
    ) -> Result<Option<Record>, StorageError> {
        let Some(piece) = self.piece(stream, revision) else { return Ok(None) };
        let offsets = self.offsets(stream, &piece, (revision - piece.first) as usize, 1)?;
        let Some(offset) = offsets.first() else { return Ok(None) };
        let mut window = self.window(piece.segment);
        let event = self.expect(&mut window, *offset, SINGLE, stream, revision)?;
        self.record(&window, &event).map(Some)
    }

    /// Shows events of a stream that follow one another.
    pub(super) fn show_forwards(
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
    pub(super) fn backwards(
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
