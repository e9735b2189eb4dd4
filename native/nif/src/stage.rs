//! The outgoing side of a producer of terms: its dispatcher and its buffer, counted in Rust.
//!
//! Subscribers are known by a number; the process that owns the outlet maps it to a pid and a tag, and
//! does the sending, since a list that fits one subscriber's demand goes out as the list it already is.

mod meter;
mod partition;
mod route;
mod sift;
mod term_batch;

use std::sync::{Mutex, MutexGuard};

use rustler::{Encoder, Env, Error, NifResult, Resource, ResourceArc, Term};
use stage_core::{Buffer, Delivery, Keep, Outlet, Part, Share, Stored};

use meter::Meter;
use route::{Route, To};
use term_batch::{CHUNK, EnvBatch, TermBatch};

mod atoms {
    rustler::atoms! {
        nil, infinity, first, last, mark, heap, native, buffered, exceeded, queued, broadcast, partition,
        everyone, split, later, all, cancel, lagged, ahead, is,
    }
}

/// Buffered events stay on their producer's heap up to this many: cheapest for few, a long pause of the
/// garbage collector for many.
const HEAP_LIMIT: u64 = 10_000;

/// This many events or more are not freed by the scheduler that drops the last reference.
const SLOW_TO_FREE: u64 = 4 * HEAP_LIMIT;

struct State {
    outlet: Outlet<Route, TermBatch, ()>,
    /// How many of the buffered events, the oldest, are on the owner's heap.
    on_heap: u64,
    meter: Meter,
}

/// One producer's outlet.
pub struct StageOutlet(Mutex<Option<State>>);

#[rustler::resource_impl]
impl Resource for StageOutlet {}

impl Drop for StageOutlet {
    fn drop(&mut self) {
        let Some(state) = self.0.get_mut().ok().and_then(Option::take) else { return };
        if state.outlet.buffer().count() >= SLOW_TO_FREE
            && let Ok(runtime) = crate::runtime::handle()
        {
            runtime.spawn_blocking(move || drop(state));
        }
    }
}

impl StageOutlet {
    /// Runs `work` on the outlet and reports its time. A panic before leaves the outlet poisoned.
    fn with<R>(&self, env: Env<'_>, work: impl FnOnce(&mut State) -> NifResult<R>) -> NifResult<R> {
        let mut guard: MutexGuard<'_, Option<State>> =
            self.0.lock().map_err(|_| Error::RaiseAtom("outlet_poisoned"))?;
        let state = guard.as_mut().ok_or(Error::BadArg)?;
        let result = work(state);
        state.meter.report(env);
        result
    }
}

type Ref = ResourceArc<StageOutlet>;

fn optional<'a, T: rustler::Decoder<'a>>(term: Term<'a>, none: rustler::Atom) -> NifResult<Option<T>> {
    if term.is_atom() && none == term { Ok(None) } else { term.decode().map(Some) }
}

/// `stage_new(buffer_size, keep, dispatcher)`
#[rustler::nif]
fn stage_new(limit: Term<'_>, keep: rustler::Atom, dispatcher: Term<'_>) -> NifResult<Ref> {
    let keep = if keep == atoms::first() { Keep::First } else { Keep::Last };
    let buffer = Buffer::new(optional(limit, atoms::infinity())?, keep);
    let outlet = Outlet::new(Route::decode(dispatcher)?, buffer);
    let state = State { outlet, on_heap: 0, meter: Meter::default() };
    Ok(ResourceArc::new(StageOutlet(Mutex::new(Some(state)))))
}

/// `how` is the partition, or how it may lag behind a broadcast.
#[rustler::nif]
fn stage_subscribe<'a>(
    env: Env<'a>,
    outlet: &StageOutlet,
    id: u64,
    how: Term<'a>,
) -> NifResult<rustler::Atom> {
    outlet.with(env, |state| {
        state.outlet.dispatcher_mut().subscribe(id, how)?;
        Ok(rustler::types::atom::ok())
    })
}

/// Whether it was subscribed.
#[rustler::nif]
fn stage_cancel(env: Env<'_>, outlet: &StageOutlet, id: u64) -> NifResult<bool> {
    outlet.with(env, |state| Ok(state.outlet.dispatcher_mut().cancel(id)))
}

/// What the source is to be asked for; `buffered` when the buffer is to be emptied first. `{queued, partition,
/// served, asked}` when a partition's queue serves it before, `{lagged, n, asked}` when it gets events that it
/// lagged behind.
#[rustler::nif]
fn stage_ask<'a>(env: Env<'a>, outlet: &StageOutlet, id: u64, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| state.ask(env, id, n, false))
}

/// As `stage_ask`, for a source that is asked right after. `{ahead, to, n}` when it is to be asked for `n` events which, if it
/// brings just these, are to be sent to a subscriber or to `everyone`, and need not be emitted; otherwise
/// `stage_take_back` comes first.
#[rustler::nif]
fn stage_ask_ahead<'a>(env: Env<'a>, outlet: &StageOutlet, id: u64, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| state.ask(env, id, n, true))
}

/// Undoes what `stage_ask_ahead` has dealt; the source owes it now.
#[rustler::nif]
fn stage_take_back<'a>(env: Env<'a>, outlet: &StageOutlet, to: Term<'a>, n: u64) -> NifResult<rustler::Atom> {
    outlet.with(env, |state| {
        let to = if to.is_atom() { To::Everyone } else { To::One(to.decode()?) };
        state.outlet.take_back(to, n);
        Ok(rustler::types::atom::ok())
    })
}

/// Notes that a subscriber did not want `n` of the events that were dealt to it; the partition whose queue
/// it may be served from now, or `nil`.
#[rustler::nif]
fn stage_credit<'a>(env: Env<'a>, outlet: &StageOutlet, id: u64, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        let credited = state.outlet.dispatcher_mut().credit(id, n)?;
        Ok(credited.queue.map_or_else(|| atoms::nil().encode(env), |partition| partition.encode(env)))
    })
}

/// What is of a broadcast of `dealt` events a subscriber's that holds nobody up and wants `n` of them: `all`,
/// `cancel`, or how many go out at once and how many then go from its queue for good.
#[rustler::nif]
fn stage_share<'a>(env: Env<'a>, outlet: &StageOutlet, id: u64, dealt: u64, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        Ok(match state.outlet.dispatcher_mut().share(id, dealt, n)? {
            Share::All => atoms::all().encode(env),
            Share::Cancel => atoms::cancel().encode(env),
            Share::Part { now, dropped } => (now, dropped).encode(env),
        })
    })
}

/// Lets as many events leave as the rate allows in an interval.
#[rustler::nif]
fn stage_refill(env: Env<'_>, outlet: &StageOutlet) -> NifResult<rustler::Atom> {
    outlet.with(env, |state| {
        state.outlet.dispatcher_mut().by_demand()?.refill();
        Ok(rustler::types::atom::ok())
    })
}

/// Whether events have left since the last refill.
#[rustler::nif]
fn stage_counting(env: Env<'_>, outlet: &StageOutlet) -> NifResult<bool> {
    outlet.with(env, |state| Ok(state.outlet.dispatcher_mut().by_demand()?.is_counting()))
}

#[rustler::nif]
fn stage_claim(env: Env<'_>, outlet: &StageOutlet) -> NifResult<u64> {
    outlet.with(env, |state| Ok(state.outlet.claim()))
}

#[rustler::nif]
fn stage_demand(env: Env<'_>, outlet: &StageOutlet) -> NifResult<u64> {
    outlet.with(env, |state| Ok(state.outlet.dispatcher().demand()))
}

/// What one subscriber waits for.
#[rustler::nif]
fn stage_demand_of(env: Env<'_>, outlet: &StageOutlet, id: u64) -> NifResult<u64> {
    outlet.with(env, |state| Ok(state.outlet.dispatcher().demand_of(id)))
}

#[rustler::nif]
fn stage_buffered(env: Env<'_>, outlet: &StageOutlet) -> NifResult<u64> {
    outlet.with(env, |state| Ok(state.outlet.buffer().count()))
}

/// Who gets how many of `n` new events: the number of a subscriber, `everyone` or `split` when that is for all
/// of them, otherwise a list of pairs; what it leaves over nobody waits for. `heap` when nobody waits for any and the buffer, which
/// has counted them already, leaves them on the owner's heap.
#[rustler::nif]
fn stage_emit<'a>(env: Env<'a>, outlet: &StageOutlet, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        let mut deals = state.outlet.emit(n);
        let Some(first) = deals.next() else {
            return Ok(if state.is_shallow(n) && n <= state.outlet.buffer().free() {
                state.store_on_heap(n);
                atoms::heap().encode(env)
            } else {
                Term::list_new_empty(env)
            });
        };
        if first.1 == n {
            return Ok(first.0.encode(env));
        }
        let deals: Vec<_> = std::iter::once(first).chain(deals).collect();
        Ok(deals.encode(env))
    })
}

/// The next delivery from the buffer: `nil`, `mark`, or whom it is for and either how many events to take
/// from the owner's heap or the events themselves.
#[rustler::nif]
fn stage_next<'a>(env: Env<'a>, outlet: &StageOutlet) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        let most = if state.on_heap > 0 { state.on_heap } else { CHUNK };
        let State { outlet, on_heap, meter } = state;
        let delivery = outlet.next(most, |batch, n| batch.release(env, n, on_heap, meter));
        Ok(match delivery {
            None => atoms::nil().encode(env),
            Some(Delivery::Mark(())) => atoms::mark().encode(env),
            Some(Delivery::Events(to, events)) => (to, events?).encode(env),
        })
    })
}

/// The next part of the buffer, at most `most` events of it, whoever waits: `nil`, `mark`, how many events to
/// take from the owner's heap, or the events themselves.
#[rustler::nif]
fn stage_take<'a>(env: Env<'a>, outlet: &StageOutlet, most: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        let State { outlet, on_heap, meter } = state;
        let part = outlet.buffer_mut().pop(most, |batch, n| batch.release(env, n, on_heap, meter));
        Ok(match part {
            None => atoms::nil().encode(env),
            Some(Part::Mark(())) => atoms::mark().encode(env),
            Some(Part::Events(events)) => events?,
        })
    })
}

/// Stores `n` events that nobody waits for: all of them, as a number, while they may stay on the owner's
/// heap, otherwise the first of them, for the rest to follow.
///
/// Answers `{heap, evicted, refused, marks}` or `{native, rest, stored, evicted, marks}`.
#[rustler::nif]
fn stage_store<'a>(env: Env<'a>, outlet: &StageOutlet, events: Term<'a>, n: u64) -> NifResult<Term<'a>> {
    outlet.with(env, |state| {
        let buffer = state.outlet.buffer();
        let taken = n.min(buffer.room());
        if state.is_shallow(taken) || taken == 0 {
            let stored = state.store_on_heap(taken);
            return Ok((atoms::heap(), stored.evicted, n - taken, stored.released.len()).encode(env));
        }
        let (rest, kept, stored) = state.store_natively(events, taken)?;
        Ok((atoms::native(), rest, kept, stored.evicted, stored.released.len()).encode(env))
    })
}

/// Puts a mark behind the buffered events; false when there are none.
#[rustler::nif]
fn stage_mark(env: Env<'_>, outlet: &StageOutlet) -> NifResult<bool> {
    outlet.with(env, |state| Ok(state.outlet.mark(()).is_none()))
}

impl State {
    /// What the two kinds of ask answer.
    fn ask<'a>(&mut self, env: Env<'a>, id: u64, n: u64, ahead: bool) -> NifResult<Term<'a>> {
        let credited = self.outlet.dispatcher_mut().credit(id, n)?;
        if ahead
            && credited.is_plain()
            && let Some(dealt) = self.outlet.deal_ahead()
        {
            return Ok((atoms::ahead(), dealt.0, dealt.1).encode(env));
        }
        let asked = if self.outlet.buffer().is_empty() {
            self.outlet.claim().encode(env)
        } else {
            atoms::buffered().encode(env)
        };
        if let Some(partition) = credited.queue {
            let served = partition::serve(env, self.outlet.dispatcher_mut().partitions()?, partition);
            return Ok((atoms::queued(), partition, served, asked).encode(env));
        }
        if credited.lagged > 0 {
            return Ok((atoms::lagged(), credited.lagged, asked).encode(env));
        }
        Ok(match credited.exceeded {
            None => asked,
            Some(max) => (atoms::exceeded(), max, asked).encode(env),
        })
    }

    /// Whether `n` events more may stay on the owner's heap, which holds the oldest ones only.
    fn is_shallow(&self, n: u64) -> bool {
        self.outlet.buffer().count() == self.on_heap && self.on_heap.saturating_add(n) <= HEAP_LIMIT
    }

    fn store_on_heap(&mut self, n: u64) -> Stored<()> {
        let buffer = self.outlet.buffer_mut();
        let stored = match buffer.last() {
            Some(TermBatch::Heap(_)) => buffer.extend_last(|last| last.extend_heap(n)),
            _ => None,
        };
        let stored = stored.unwrap_or_else(|| buffer.store(TermBatch::Heap(n)));
        self.on_heap = (self.on_heap + n).saturating_sub(stored.evicted);
        stored
    }

    /// Copies the first of `n` events out of the caller's heap; the rest, how many were copied, and what
    /// became of older ones.
    fn store_natively<'a>(&mut self, events: Term<'a>, n: u64) -> NifResult<(Term<'a>, u64, Stored<()>)> {
        let buffer = self.outlet.buffer_mut();
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
        self.on_heap = self.on_heap.saturating_sub(stored.evicted);
        Ok((rest, kept, stored))
    }
}
