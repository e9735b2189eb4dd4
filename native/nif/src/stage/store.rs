//! Storing events that nobody waits for: on the heap of their producer or outside of it.
//!
//! Buffered events stay on the heap while they are few, which is cheapest; many there make long pauses of the garbage
//! collector. Beyond that they leave it by the chunk: what comes meanwhile is staged, on the heap too, until a
//! chunk is full. Then the producer weighs it, for a copy loses what terms share, and has it copied or kept for good.

use rustler::{Encoder, Env, Error, NifResult, Term};
use stage_core::Stored;

use super::term_batch::{CHUNK, EnvBatch, TermBatch};
use super::{StageOutput, State, atoms};
use crate::account::call;

/// So many stay on the heap as they are.
pub const HEAP_LIMIT: u64 = 10_000;

/// Stores the `n` events that nobody waits for.
///
/// On the owner's heap, as a number, that is `{heap, evicted, evicted_from_heap, refused, marks}`. `{full, staged}` when
/// they make a chunk that may leave the heap, together with `staged` events that came before and are now the owner's
/// alone: nothing is stored, and what happens to them is told by `stage_spill` and `stage_keep`. With `copy`, which is for
/// events like those that have just been weighed, those of a deep buffer leave the heap at once, as many as a
/// call has time for: `{copied, rest, stored, evicted, evicted_from_heap, marks, large}`.
#[rustler::nif]
fn stage_store<'a>(
    env: Env<'a>,
    output: &StageOutput,
    events: Term<'a>,
    n: u64,
    copy: bool,
) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_store"), |state| {
        let taken = n.min(state.output.buffer().room());
        if !state.is_shallow(taken) && taken > 0 {
            if copy && state.staged == 0 {
                let (rest, kept, stored) = state.store_natively(events, taken)?;
                let large = state.newest_are_large();
                return Ok((
                    atoms::copied(),
                    rest,
                    kept,
                    stored.evicted,
                    stored.evicted_elsewhere,
                    stored.released.len(),
                    large,
                )
                    .encode(env));
            }
            if state.staged.saturating_add(taken) >= CHUNK {
                let staged = state.unstage();
                return Ok((atoms::full(), staged).encode(env));
            }
            state.staged += taken;
        }
        let stored = state.store_on_heap(taken);
        Ok((atoms::heap(), stored.evicted, stored.evicted_elsewhere, n - taken, stored.released.len())
            .encode(env))
    })
}

/// Stores `n` events on the owner's heap for good; answers as `stage_store`.
#[rustler::nif]
fn stage_keep<'a>(env: Env<'a>, output: &StageOutput, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_keep"), |state| {
        let taken = n.min(state.output.buffer().room());
        let stored = state.store_on_heap(taken);
        state.staged = 0;
        Ok((atoms::heap(), stored.evicted, stored.evicted_elsewhere, n - taken, stored.released.len())
            .encode(env))
    })
}

/// Copies the first of `n` events out of the owner's heap, as many as a call has time for: `{rest, stored, evicted,
/// evicted_from_heap, marks}`. None are stored when there is no room.
#[rustler::nif]
fn stage_spill<'a>(env: Env<'a>, output: &StageOutput, events: Term<'a>, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_spill"), |state| {
        let n = n.min(state.output.buffer().room());
        let (rest, kept, stored) = state.store_natively(events, n)?;
        Ok((rest, kept, stored.evicted, stored.evicted_elsewhere, stored.released.len()).encode(env))
    })
}

impl State {
    /// How many of the buffered events are not on the owner's heap.
    pub fn off_heap(&self) -> u64 {
        self.output.buffer().count().saturating_sub(self.on_heap)
    }

    /// Whether the buffer stays shallow with `n` events more, all of them on the owner's heap.
    pub fn is_shallow(&self, n: u64) -> bool {
        self.off_heap() == 0 && self.output.buffer().count_with(n) <= HEAP_LIMIT
    }

    /// Whether the events that left the heap last took their time.
    fn newest_are_large(&self) -> bool {
        matches!(self.output.buffer().last(), Some(TermBatch::Native(last)) if last.are_large())
    }

    pub fn store_on_heap(&mut self, n: u64) -> Stored<()> {
        let buffer = self.output.buffer_mut();
        let stored = match buffer.last() {
            Some(TermBatch::Heap(_)) => buffer.extend_last(|last| last.extend_heap(n)),
            _ => None,
        };
        let stored = stored.unwrap_or_else(|| buffer.store(TermBatch::Heap(n)));
        self.on_heap = self.on_heap.saturating_add(n);
        self.evicted(&stored);
        stored
    }

    /// Notes what has left the heap to make room.
    fn evicted(&mut self, stored: &Stored<()>) {
        self.on_heap = self.on_heap.saturating_sub(stored.evicted_elsewhere);
        self.staged = self.staged.min(self.on_heap);
    }

    /// Gives back the events that were staged; how many they are.
    fn unstage(&mut self) -> u64 {
        let staged = match self.output.buffer().last() {
            Some(TermBatch::Heap(_)) => self.output.buffer_mut().unstore(self.staged),
            _ => 0,
        };
        self.on_heap = self.on_heap.saturating_sub(staged);
        self.staged = 0;
        staged
    }

    /// Copies the first of `n` events out of the caller's heap; the rest, how many were copied, and what
    /// became of older ones.
    fn store_natively<'a>(&mut self, events: Term<'a>, n: u64) -> NifResult<(Term<'a>, u64, Stored<()>)> {
        let buffer = self.output.buffer_mut();
        let space = match buffer.last() {
            Some(TermBatch::Native(last)) => last.space(),
            _ => 0,
        };
        let (pushed, stored) = if space > 0 {
            let mut pushed = Err(Error::BadArg);
            let meter = &mut self.meter;
            let stored = buffer.extend_last(|last| {
                if let TermBatch::Native(last) = last {
                    pushed = meter.time(|| last.push(events, n.min(space)));
                }
            });
            (pushed?, stored)
        } else {
            let mut batch = EnvBatch::new();
            let pushed = self.meter.time(|| batch.push(events, n.min(CHUNK)))?;
            (pushed, Some(buffer.store(TermBatch::Native(batch))))
        };
        let (rest, kept) = pushed;
        let stored = stored.ok_or(Error::BadArg)?;
        self.evicted(&stored);
        Ok((rest, kept, stored))
    }
}
