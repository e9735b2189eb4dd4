//! The outgoing side of a producer of terms: its dispatcher and its buffer, counted in Rust.
//!
//! Subscribers are known by a number; the process that owns this side maps it to a pid and a tag, and
//! does the sending, since a list that fits one subscriber's demand goes out as the list it already is.

mod extent;
pub mod filter;
mod partition;
mod recipient;
mod store;
mod term_batch;

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use rustler::{Encoder, Env, Error, NifResult, Resource, ResourceArc, Term};
use stage_core::{
    AnyDispatcher, Buffer, Credited, Delivery, DemandDispatcher, Keep, Output, Part, PartitionDispatcher,
    Recipient, Share,
};

use recipient::To;
use term_batch::{CHUNK, TermBatch};

use crate::account::limits::{DEALS, MANY_TO_FREE};
use crate::account::{Meter, Record, call, timed};
use crate::dispatcher;
use crate::sys::Terms;

mod atoms {
    rustler::atoms! {
        nil, infinity, first, last, mark, heap, full, copied, buffered, exceeded, served,
        everyone, split, later, more, all, cancel, ahead, is, r#in = "in",
    }
}

/// This many events or more are not freed by the scheduler that drops the last reference.
const SLOW_TO_FREE: u64 = store::HEAP_LIMIT;

/// This many deals or more are counted by the clock.
const MANY_DEALS: usize = 8;

struct State {
    output: Output<AnyDispatcher<u64>, TermBatch, ()>,
    /// How many of the buffered events are on the owner's heap.
    on_heap: u64,
    /// How many of these, the newest of the buffer, are to leave it with others that follow.
    staged: u64,
    /// What the latest call has dealt ahead.
    ahead: Option<(Recipient<u64>, u64)>,
    meter: Meter,
}

/// One producer's output.
pub struct StageOutput(Mutex<Option<State>>);

#[rustler::resource_impl]
impl Resource for StageOutput {}

impl Drop for StageOutput {
    fn drop(&mut self) {
        let _timed = timed!(free "stage_free");
        let Some(state) = self.0.get_mut().ok().and_then(Option::take) else { return };
        let noted = state.output.dispatcher().noted().max(state.output.buffer().entries());
        if state.off_heap() >= SLOW_TO_FREE || noted >= MANY_TO_FREE {
            crate::deferred_drop::drop_later(state);
        }
    }
}

impl StageOutput {
    /// Runs `work` on the output and reports its time. A panic before leaves the output poisoned.
    fn with<R>(
        &self,
        env: Env<'_>,
        call: &'static Record,
        work: impl FnOnce(&mut State) -> NifResult<R>,
    ) -> NifResult<R> {
        self.with_ahead(env, call, |state, _ahead| work(state))
    }

    /// As [`with`](Self::with), with what the call before has dealt ahead.
    fn with_ahead<R>(
        &self,
        env: Env<'_>,
        call: &'static Record,
        work: impl FnOnce(&mut State, Option<(Recipient<u64>, u64)>) -> NifResult<R>,
    ) -> NifResult<R> {
        let mut guard: MutexGuard<'_, Option<State>> =
            self.0.lock().map_err(|_| Error::RaiseAtom("output_poisoned"))?;
        let state = guard.as_mut().ok_or(Error::BadArg)?;
        let ahead = state.ahead.take();
        let began = state.meter.begin();
        let result = work(state, ahead);
        state.meter.end(env, call, began);
        result
    }

    /// As [`with`](Self::with), for what takes longer the more there is of something.
    fn clocked<R>(
        &self,
        env: Env<'_>,
        call: &'static Record,
        work: impl FnOnce(&mut State) -> NifResult<R>,
    ) -> NifResult<R> {
        self.with(env, call, |state| {
            let started = Instant::now();
            let result = work(state);
            state.meter.add(started.elapsed());
            result
        })
    }
}

/// The items of a list; an error in place of the end of an improper one, which rustler's own iterator panics at.
fn items<'a>(list: Term<'a>) -> impl Iterator<Item = NifResult<Term<'a>>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest.take()?;
        match list.list_get_cell() {
            Ok((item, tail)) => {
                rest = Some(tail);
                Some(Ok(item))
            }
            Err(_) if list.is_empty_list() => None,
            Err(error) => Some(Err(error)),
        }
    })
}

type Ref = ResourceArc<StageOutput>;

fn optional<'a, T: rustler::Decoder<'a>>(term: Term<'a>, none: rustler::Atom) -> NifResult<Option<T>> {
    if term.is_atom() && none == term { Ok(None) } else { term.decode().map(Some) }
}

/// `stage_new(buffer_size, keep, dispatcher)`
#[rustler::nif]
fn stage_new(limit: Term<'_>, keep: rustler::Atom, dispatcher: Term<'_>) -> NifResult<Ref> {
    let _timed = timed!(dispatcher.get_env(), "stage_new");
    let keep = if keep == atoms::first() {
        Keep::First
    } else if keep == atoms::last() {
        Keep::Last
    } else {
        return Err(Error::BadArg);
    };
    let buffer = Buffer::new(optional(limit, atoms::infinity())?, keep);
    let dispatcher::Decoded { dispatcher, by, rate: _ } = dispatcher::decode(dispatcher)?;
    // its process tells partitions apart
    crate::argument::one_of("hash", by, &[(atoms::nil(), ())])?;
    let output = Output::new(dispatcher, buffer);
    let state = State { output, on_heap: 0, staged: 0, ahead: None, meter: Meter::default() };
    Ok(ResourceArc::new(StageOutput(Mutex::new(Some(state)))))
}

/// `how` it takes part in what is dealt is for [`dispatcher::membership`].
#[rustler::nif]
fn stage_subscribe<'a>(
    env: Env<'a>,
    output: &StageOutput,
    id: u64,
    how: Term<'a>,
) -> NifResult<rustler::Atom> {
    output.clocked(env, call!("stage_subscribe"), |state| {
        let dispatcher = state.output.dispatcher_mut();
        let membership = dispatcher::membership(how)?;
        dispatcher.subscribe(id, membership).map_err(|_| Error::BadArg)?;
        Ok(rustler::types::atom::ok())
    })
}

/// Whether it was subscribed.
#[rustler::nif]
fn stage_cancel(env: Env<'_>, output: &StageOutput, id: u64) -> NifResult<bool> {
    output
        .clocked(env, call!("stage_cancel"), |state| Ok(state.output.dispatcher_mut().cancel(&id).is_some()))
}

/// What the source is to be asked for; `buffered` when the buffer is to be emptied first. `{served,
/// what, asked}` when it gets events at once that have left the buffer before: `{partition, served}` from a partition's
/// queue, with what `stage_serve` would answer, or how many that it lagged behind.
#[rustler::nif]
fn stage_ask<'a>(env: Env<'a>, output: &StageOutput, id: u64, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_ask"), |state| state.ask(env, id, n, false))
}

/// As `stage_ask`, for a source that is asked right after. `{ahead, to, n}` when it is to be asked for `n` events which, if it
/// brings just these, are to be sent to a subscriber or to `everyone`, and need not be emitted; otherwise
/// `stage_take_back` comes first.
#[rustler::nif]
fn stage_ask_ahead<'a>(env: Env<'a>, output: &StageOutput, id: u64, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_ask_ahead"), |state| state.ask(env, id, n, true))
}

/// Undoes what `stage_ask_ahead` has dealt just before; the source owes it now. Anything else is refused: demand would come
/// from nowhere.
#[rustler::nif]
fn stage_take_back<'a>(env: Env<'a>, output: &StageOutput, to: Term<'a>, n: u64) -> NifResult<rustler::Atom> {
    let To(to) = to.decode()?;
    output.with_ahead(env, call!("stage_take_back"), |state, ahead| {
        if ahead != Some((to, n)) {
            return Err(Error::BadArg);
        }
        state.output.take_back(to, n);
        Ok(rustler::types::atom::ok())
    })
}

/// Notes that a subscriber did not want `n` of the events that were dealt to it; the partition whose queue
/// it may be served from now, or `nil`.
#[rustler::nif]
fn stage_credit<'a>(env: Env<'a>, output: &StageOutput, id: u64, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_credit"), |state| {
        Ok(match state.output.dispatcher_mut().credit(&id, n).map_err(|_| Error::BadArg)? {
            Credited::Queued(partition) => partition.encode(env),
            Credited::Plain | Credited::Exceeded(_) | Credited::Lagged(_) => atoms::nil().encode(env),
        })
    })
}

/// What is of a broadcast of `dealt` events a subscriber's that holds nobody up and wants `n` of them: `all`,
/// `cancel`, or how many go out at once and how many then go from its queue for good.
#[rustler::nif]
fn stage_share<'a>(env: Env<'a>, output: &StageOutput, id: u64, dealt: u64, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_share"), |state| {
        Ok(match state.output.dispatcher_mut().share(&id, dealt, n).map_err(|_| Error::BadArg)? {
            Share::All => atoms::all().encode(env),
            Share::Cancel => atoms::cancel().encode(env),
            Share::Part { now, dropped } => (now, dropped).encode(env),
        })
    })
}

/// Lets as many events leave as the rate allows in an interval.
#[rustler::nif]
fn stage_refill(env: Env<'_>, output: &StageOutput) -> NifResult<rustler::Atom> {
    output.with(env, call!("stage_refill"), |state| {
        state.by_demand()?.refill();
        Ok(rustler::types::atom::ok())
    })
}

/// Whether events have left since the last refill.
#[rustler::nif]
fn stage_counting(env: Env<'_>, output: &StageOutput) -> NifResult<bool> {
    output.with(env, call!("stage_counting"), |state| Ok(state.by_demand()?.is_counting()))
}

#[rustler::nif]
fn stage_claim(env: Env<'_>, output: &StageOutput) -> NifResult<u64> {
    output.with(env, call!("stage_claim"), |state| Ok(state.output.claim()))
}

#[rustler::nif]
fn stage_demand(env: Env<'_>, output: &StageOutput) -> NifResult<u64> {
    output.with(env, call!("stage_demand"), |state| Ok(state.output.dispatcher().demand()))
}

/// What one subscriber waits for.
#[rustler::nif]
fn stage_demand_of(env: Env<'_>, output: &StageOutput, id: u64) -> NifResult<u64> {
    output.with(env, call!("stage_demand_of"), |state| {
        Ok(state.output.dispatcher().demand_of(&id).unwrap_or(0))
    })
}

#[rustler::nif]
fn stage_buffered(env: Env<'_>, output: &StageOutput) -> NifResult<u64> {
    output.with(env, call!("stage_buffered"), |state| Ok(state.output.buffer().count()))
}

/// Who gets how many of `n` new events: the number of a subscriber, `everyone` or `split` when that is for all
/// of them, otherwise a list of pairs; what it leaves over nobody waits for, unless the list ends with `more`: then
/// `stage_emit_on` comes next. `heap` when nobody waits for any and the buffer, which
/// has counted them already, leaves them on the owner's heap.
#[rustler::nif]
fn stage_emit<'a>(env: Env<'a>, output: &StageOutput, n: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_emit"), |state| {
        let mut deals = state.output.emit(n);
        let Some(first) = deals.next() else {
            return Ok(if state.is_shallow(n) && n <= state.output.buffer().free() {
                state.store_on_heap(n);
                atoms::heap().encode(env)
            } else {
                Term::list_new_empty(env)
            });
        };
        if first.1 == n {
            return Ok(To(first.0).encode(env));
        }
        let started = Instant::now();
        let (answer, count) = pairs(env, std::iter::once(first).chain(deals));
        if count >= MANY_DEALS {
            state.meter.add(started.elapsed());
        }
        Ok(answer)
    })
}

/// Goes on with a `stage_emit` of which `n` events are left, and answers as it does, with a list.
#[rustler::nif]
fn stage_emit_on<'a>(env: Env<'a>, output: &StageOutput, n: u64) -> NifResult<Term<'a>> {
    output.clocked(env, call!("stage_emit_on"), |state| Ok(pairs(env, state.output.emit_on(n)).0))
}

/// As many deals as one call makes, with `more` at the end when there may be others; how many they are.
fn pairs<'a>(env: Env<'a>, deals: impl Iterator<Item = (Recipient<u64>, u64)>) -> (Term<'a>, usize) {
    let mut pairs = Terms::new(env);
    for (to, n) in deals.take(DEALS) {
        pairs.push((To(to), n).encode(env));
    }
    let count = pairs.len();
    if count == DEALS {
        pairs.push(atoms::more().encode(env));
    }
    (pairs.list(0), count)
}

/// The next delivery from the buffer: `nil`, `mark`, or whom it is for and either how many events to take
/// from the owner's heap or the events themselves.
#[rustler::nif]
fn stage_next<'a>(env: Env<'a>, output: &StageOutput) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_next"), |state| {
        let most = match state.output.buffer().first() {
            Some(TermBatch::Heap(count)) => *count,
            _ => CHUNK,
        };
        let State { output, on_heap, meter, .. } = state;
        let delivery = output.next(most, |batch, n| batch.release(env, n, on_heap, meter));
        state.staged = state.staged.min(state.on_heap);
        Ok(match delivery {
            None => atoms::nil().encode(env),
            Some(Delivery::Mark(())) => atoms::mark().encode(env),
            Some(Delivery::Events(to, events)) => (To(to), events?).encode(env),
        })
    })
}

/// The next part of the buffer, at most `most` events of it, whoever waits: `nil`, `mark`, how many events to
/// take from the owner's heap, or the events themselves.
#[rustler::nif]
fn stage_take<'a>(env: Env<'a>, output: &StageOutput, most: u64) -> NifResult<Term<'a>> {
    output.with(env, call!("stage_take"), |state| {
        let State { output, on_heap, meter, .. } = state;
        let part = output.buffer_mut().pop(most, |batch, n| batch.release(env, n, on_heap, meter));
        state.staged = state.staged.min(state.on_heap);
        Ok(match part {
            None => atoms::nil().encode(env),
            Some(Part::Mark(())) => atoms::mark().encode(env),
            Some(Part::Events(events)) => events?,
        })
    })
}

/// How many of the buffered events are not on the owner's heap.
#[rustler::nif]
fn stage_off_heap(env: Env<'_>, output: &StageOutput) -> NifResult<u64> {
    output.with(env, call!("stage_off_heap"), |state| Ok(state.off_heap()))
}

/// Puts a mark behind the buffered events; false when there are none.
#[rustler::nif]
fn stage_mark(env: Env<'_>, output: &StageOutput) -> NifResult<bool> {
    output.with(env, call!("stage_mark"), |state| {
        // What stands before a mark stays where it is.
        state.staged = 0;
        Ok(state.output.mark(()).is_none())
    })
}

impl State {
    /// The dispatcher by demand.
    fn by_demand(&mut self) -> NifResult<&mut DemandDispatcher<u64>> {
        self.output.dispatcher_mut().by_demand().map_err(|_| Error::BadArg)
    }

    /// The dispatcher by partition.
    fn partitions(&mut self) -> NifResult<&mut PartitionDispatcher<u64>> {
        self.output.dispatcher_mut().partitions().map_err(|_| Error::BadArg)
    }

    /// What the two kinds of ask answer.
    fn ask<'a>(&mut self, env: Env<'a>, id: u64, n: u64, ahead: bool) -> NifResult<Term<'a>> {
        let credited = self.output.dispatcher_mut().credit(&id, n).map_err(|_| Error::BadArg)?;
        if ahead
            && credited == Credited::Plain
            && let Some(dealt) = self.output.deal_ahead()
        {
            self.ahead = Some(dealt);
            return Ok((atoms::ahead(), To(dealt.0), dealt.1).encode(env));
        }
        let asked = if self.output.buffer().is_empty() {
            self.output.claim().encode(env)
        } else {
            atoms::buffered().encode(env)
        };
        Ok(match credited {
            Credited::Plain => asked,
            Credited::Exceeded(max) => (atoms::exceeded(), max, asked).encode(env),
            Credited::Queued(partition) => {
                let started = Instant::now();
                let served = partition::serve(env, self.partitions()?, partition);
                self.meter.add(started.elapsed());
                (atoms::served(), (partition, served), asked).encode(env)
            }
            Credited::Lagged(n) => (atoms::served(), n, asked).encode(env),
        })
    }
}
