use std::collections::VecDeque;

use crate::Batch;
use crate::chunked::Chunked;

/// Which events stay when more come than there is room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// The oldest; what comes is refused.
    First,
    /// The newest; the oldest are evicted.
    #[default]
    Last,
}

#[derive(Debug)]
enum Entry<B, M> {
    Events(B),
    /// Marks in a row: there may be any number of them.
    Marks(VecDeque<M>),
}

/// What comes out of a buffer next.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<E, M> {
    /// Events that were stored together.
    Events(E),
    /// A mark all of whose predecessors are out.
    Mark(M),
}

/// What storing a batch did to the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored<M> {
    /// How many of the oldest events had to go.
    pub evicted: u64,
    /// How many of these their owner keeps, and is to drop: the oldest that it has.
    pub evicted_elsewhere: u64,
    /// How many of the new events, at their end, were not taken.
    pub refused: u64,
    /// Marks that only evicted events stood before.
    pub released: VecDeque<M>,
}

impl<M> Stored<M> {
    fn all() -> Self {
        Self { evicted: 0, evicted_elsewhere: 0, refused: 0, released: VecDeque::new() }
    }

    /// How many events were discarded.
    pub fn excess(&self) -> u64 {
        self.refused + self.evicted
    }
}

/// Events that nobody has asked for yet, in order, and marks between them that come out in their place.
/// Marks take no room.
#[derive(Debug)]
pub struct Buffer<B, M> {
    entries: Chunked<Entry<B, M>>,
    count: u64,
    limit: Option<u64>,
    keep: Keep,
}

impl<B: Batch, M> Buffer<B, M> {
    /// An empty buffer for `limit` events, or for any number of them.
    pub fn new(limit: Option<u64>, keep: Keep) -> Self {
        Self { entries: Chunked::default(), count: 0, limit, keep }
    }

    /// How many events it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether neither events nor marks are in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many batches it holds, and marks between them.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// How many events, of those that may come next, it would take.
    pub fn room(&self) -> u64 {
        match (self.limit, self.keep) {
            (Some(limit), Keep::First) => limit.saturating_sub(self.count),
            (_, _) => u64::MAX,
        }
    }

    /// How many events it would take without discarding any.
    pub fn free(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.count))
    }

    /// Appends events.
    pub fn store(&mut self, mut batch: B) -> Stored<M> {
        let count = batch.count();
        let room = self.room();
        let mut stored = Stored::all();
        if count > room {
            stored.refused = count - room;
            if room > 0 {
                batch.truncate(room);
            }
        }
        let taken = count - stored.refused;
        if taken > 0 {
            self.entries.push_back(Entry::Events(batch));
            self.count = self.count.saturating_add(taken);
            self.evict(&mut stored);
        }
        stored
    }

    /// Lets `grow` append events, at most [`room`](Self::room) of them, to the last batch; `None` when
    /// the last entry is no batch.
    pub fn extend_last(&mut self, grow: impl FnOnce(&mut B)) -> Option<Stored<M>> {
        let Some(Entry::Events(last)) = self.entries.back_mut() else { return None };
        let before = last.count();
        grow(last);
        self.count = self.count.saturating_add(last.count().saturating_sub(before));
        let mut stored = Stored::all();
        self.evict(&mut stored);
        Some(stored)
    }

    /// Takes the newest `n` events out again, which are of the batch stored last; says how many they are.
    pub fn unstore(&mut self, n: u64) -> u64 {
        let Some(Entry::Events(last)) = self.entries.back_mut() else { return 0 };
        let count = last.count();
        let n = n.min(count);
        last.truncate(count - n);
        if n == count {
            self.entries.pop_back();
        }
        self.count = self.count.saturating_sub(n);
        n
    }

    /// How many events it holds once `n` more have been stored.
    pub fn count_with(&self, n: u64) -> u64 {
        self.count.saturating_add(n).min(self.limit.unwrap_or(u64::MAX))
    }

    /// The batch stored last, unless a mark follows it.
    pub fn last(&self) -> Option<&B> {
        match self.entries.back()? {
            Entry::Events(batch) => Some(batch),
            Entry::Marks(_) => None,
        }
    }

    /// The batch that comes out next, unless a mark comes before it.
    pub fn first(&self) -> Option<&B> {
        match self.entries.front()? {
            Entry::Events(batch) => Some(batch),
            Entry::Marks(_) => None,
        }
    }

    /// Puts a mark behind all events; it comes straight back when there is nothing to wait for.
    pub fn mark(&mut self, mark: M) -> Option<M> {
        if self.is_empty() {
            return Some(mark);
        }
        match self.entries.back_mut() {
            Some(Entry::Marks(marks)) => marks.push_back(mark),
            _ => self.entries.push_back(Entry::Marks(VecDeque::from([mark]))),
        }
        None
    }

    /// Takes the next part out: a mark, or at most `most` events of the first batch. `take` is given that
    /// batch and the number of events that it must remove from its front.
    pub fn pop<E>(&mut self, most: u64, take: impl FnOnce(&mut B, u64) -> E) -> Option<Part<E, M>> {
        let batch = match self.entries.front_mut()? {
            Entry::Events(batch) => batch,
            Entry::Marks(marks) => {
                let mark = marks.pop_front();
                if marks.is_empty() {
                    self.entries.pop_front();
                }
                return mark.map(Part::Mark);
            }
        };
        let count = batch.count();
        let n = count.min(most);
        if n == 0 {
            return None;
        }
        let events = take(batch, n);
        self.count -= n;
        if n == count {
            self.entries.pop_front();
        }
        Some(Part::Events(events))
    }

    fn evict(&mut self, stored: &mut Stored<M>) {
        let Some(limit) = self.limit else { return };
        if self.count <= limit {
            return;
        }
        // With nothing left to evict the front may still be marks that waited for what is gone.
        loop {
            if let Some(Entry::Marks(marks)) = self.entries.front_mut() {
                stored.released.append(marks);
                self.entries.pop_front();
            }
            let evicted = self.pop(self.count.saturating_sub(limit), |batch, n| {
                batch.discard_front(n);
                (n, if batch.is_kept_elsewhere() { n } else { 0 })
            });
            let Some(Part::Events((n, elsewhere))) = evicted else { return };
            stored.evicted += n;
            stored.evicted_elsewhere += elsewhere;
        }
    }
}
