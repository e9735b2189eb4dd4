use std::time::{Duration, Instant};

use rustler::env::SavedTerm;
use rustler::{Encoder, Env, NifResult, OwnedEnv, Term};
use stage_core::Batch;

use crate::account::Meter;
use crate::account::limits::COPYING;

/// How many events share an environment, and so how many one call copies at most.
pub const CHUNK: u64 = 256;

/// Large events share an environment with fewer others, for taking them out takes about as long as putting them in.
const CHUNK_TIME: Duration = COPYING;

/// Fewer than so many events in the time of a chunk are large ones.
const FEW: u64 = 32;

/// How many events are copied between two looks at the clock.
const CLOCKED: u64 = 8;

/// Buffered terms.
pub enum TermBatch {
    /// A number of events on the heap of the producer.
    Heap(u64),
    /// Events that left the heap.
    Native(EnvBatch),
}

impl TermBatch {
    /// Counts events that were added on the heap.
    pub fn extend_heap(&mut self, n: u64) {
        if let Self::Heap(count) = self {
            *count = count.saturating_add(n);
        }
    }

    /// Takes the first `n` events out: as a number that leaves the `on_heap`, or as a list in `caller`.
    pub fn release<'a>(
        &mut self,
        caller: Env<'a>,
        n: u64,
        on_heap: &mut u64,
        meter: &mut Meter,
    ) -> NifResult<Term<'a>> {
        match self {
            Self::Heap(count) => {
                *count = count.saturating_sub(n);
                *on_heap = on_heap.saturating_sub(n);
                Ok(n.encode(caller))
            }
            Self::Native(events) => meter.time(|| events.take(caller, n)),
        }
    }
}

impl Batch for TermBatch {
    fn count(&self) -> u64 {
        match self {
            Self::Heap(count) => *count,
            Self::Native(events) => events.count,
        }
    }

    fn discard_front(&mut self, n: u64) {
        match self {
            Self::Heap(count) => count.discard_front(n),
            Self::Native(events) => events.discard_front(n),
        }
    }

    fn truncate(&mut self, n: u64) {
        match self {
            Self::Heap(count) => count.truncate(n),
            Self::Native(events) => events.truncate(n),
        }
    }

    fn is_kept_elsewhere(&self) -> bool {
        matches!(self, Self::Heap(_))
    }
}

/// Terms in an environment of their own, up to [`CHUNK`] over its life, as one list.
pub struct EnvBatch {
    env: OwnedEnv,
    list: SavedTerm,
    newest_first: bool,
    count: u64,
    pushed: u64,
    spent: Duration,
}

impl EnvBatch {
    /// A batch without events.
    pub fn new() -> Self {
        let env = OwnedEnv::new();
        let list = env.run(|inner| env.save(Term::list_new_empty(inner)));
        Self { env, list, newest_first: true, count: 0, pushed: 0, spent: Duration::ZERO }
    }

    /// How many events it can still take. What was taken out frees nothing before the environment is freed.
    pub fn space(&self) -> u64 {
        if self.spent < CHUNK_TIME { CHUNK.saturating_sub(self.pushed) } else { 0 }
    }

    /// Whether few events took all the time that a whole chunk may take.
    pub fn are_large(&self) -> bool {
        self.spent >= CHUNK_TIME && self.pushed < FEW
    }

    /// Copies up to `n` of `events` in, at least one; the rest of them, and how many went in.
    pub fn push<'a>(&mut self, events: Term<'a>, n: u64) -> NifResult<(Term<'a>, u64)> {
        self.turn(true)?;
        let start = Instant::now();
        let (mut rest, mut copied) = (events, 0);
        let list = self.env.run(|inner| {
            let mut list = self.list.load(inner);
            while copied < n {
                let (event, tail) = rest.list_get_cell()?;
                list = list.list_prepend(event);
                rest = tail;
                copied += 1;
                let looks = copied % CLOCKED == 0 || copied < CLOCKED && copied.is_power_of_two();
                if looks && self.spent + start.elapsed() >= CHUNK_TIME {
                    break;
                }
            }
            Ok::<_, rustler::Error>(self.env.save(list))
        })?;
        self.list = list;
        self.count += copied;
        self.pushed += copied;
        self.spent += start.elapsed();
        Ok((rest, copied))
    }

    /// Takes the first `n` events out, as a list in `caller`.
    pub fn take<'a>(&mut self, caller: Env<'a>, n: u64) -> NifResult<Term<'a>> {
        self.turn(false)?;
        if n >= self.count {
            self.count = 0;
            return Ok(self.env.run(|inner| self.list.load(inner).in_env(caller)));
        }
        let mut taken = Vec::with_capacity(usize::try_from(n).unwrap_or_default());
        self.skip(n, |event| taken.push(event.in_env(caller)))?;
        Ok(taken.encode(caller))
    }

    /// The list in the order wanted.
    fn turn(&mut self, newest_first: bool) -> NifResult<()> {
        if self.newest_first != newest_first {
            self.list =
                self.env.run(|inner| self.list.load(inner).list_reverse().map(|list| self.env.save(list)))?;
            self.newest_first = newest_first;
        }
        Ok(())
    }

    /// Takes `n` events off the list as it stands.
    fn skip(&mut self, n: u64, mut each: impl FnMut(Term<'_>)) -> NifResult<()> {
        let list = self.env.run(|inner| {
            let mut list = self.list.load(inner);
            for _ in 0..n {
                let (event, tail) = list.list_get_cell()?;
                each(event);
                list = tail;
            }
            Ok::<_, rustler::Error>(self.env.save(list))
        })?;
        self.list = list;
        self.count = self.count.saturating_sub(n);
        Ok(())
    }

    fn drop_from(&mut self, newest_first: bool, n: u64) {
        // The list is proper and holds `count` events, so neither step can fail; the count is what matters.
        if self.turn(newest_first).and_then(|()| self.skip(n, |_| ())).is_err() {
            self.count = self.count.saturating_sub(n);
        }
    }
}

impl Batch for EnvBatch {
    fn count(&self) -> u64 {
        self.count
    }

    fn discard_front(&mut self, n: u64) {
        self.drop_from(false, n);
    }

    fn truncate(&mut self, n: u64) {
        self.drop_from(true, self.count.saturating_sub(n));
    }
}
