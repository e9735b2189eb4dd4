//! From the ready queue to the producer's own process, which asks for events itself: as many as it wants, in slices that no
//! scheduler notices.

use producer_core::{Budget, Happened, Rest};
use reader_core::Position;
use rustler::{Atom, Encoder, Env, NifResult, Term};

use super::Producer;
use crate::account::{budget, timed};
use crate::producer::consumers::Delivery;
use crate::producer::encoder::build;
use crate::producer::outbox::{Outbox, next};
use crate::producer::shared::{Inner, Shared, free};
use crate::sys::Terms;

/// The process wants `count` events more; `more` when it is to send itself what wakes it. Nothing is taken here: what comes of
/// one ask could overtake what came of another.
#[rustler::nif]
fn producer_want(env: Env<'_>, producer: Producer, count: u64) -> NifResult<Atom> {
    let _timed = timed!(env, "producer_want");
    let mut inner = producer.shared()?.lock()?;
    inner.producer.want(count);
    Ok(next(if inner.producer.wake_due() { Rest::More } else { Rest::Wait }))
}

/// What the process does when it is woken.
#[rustler::nif]
fn producer_take(env: Env<'_>, producer: Producer) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "producer_take");
    take(env, producer.shared()?, budget::ordinary(), |inner| inner.producer.awake())
}

/// For an event that takes longer to decode than an ordinary call may last.
#[rustler::nif(schedule = "DirtyCpu")]
fn producer_take_dirty(env: Env<'_>, producer: Producer) -> NifResult<Term<'_>> {
    let _timed = timed!(dirty "producer_take_dirty");
    take(env, producer.shared()?, budget::dirty(), |_| {})
}

/// What has happened.
struct Told<'a> {
    /// Whatever has been given out.
    notices: Outbox<'a>,
    /// Once all events before have been.
    marks: Outbox<'a>,
}

impl<'a> Told<'a> {
    fn gather(&mut self, inner: &mut Inner, last: &mut Option<Position>) {
        while let Some(happened) = inner.producer.happened() {
            let outbox =
                if matches!(happened, Happened::Notice(_)) { &mut self.notices } else { &mut self.marks };
            *last = last.or(inner.after);
            outbox.tell(happened, last);
        }
    }
}

/// Changes something and gives the next events that are wanted, up to the next mark, the most of one delivery and the budget.
///
/// Answers what to do next, an atom as [`next`] has it; or `{next, events, notices, marks}`, where the marks come after
/// the events, when there is any of these.
fn take<'a>(
    env: Env<'a>,
    shared: &Shared,
    mut budget: Budget,
    change: impl FnOnce(&mut Inner),
) -> NifResult<Term<'a>> {
    let mut delivery = shared.delivery()?;
    let Delivery { consumers, last, .. } = &mut *delivery;
    let mut told = Told { notices: Outbox::new(env), marks: Outbox::new(env) };
    let mut inner = shared.lock()?;
    change(&mut inner);
    told.gather(&mut inner, last);
    // marks have to find their place before what comes after them is given
    let taken = if told.marks.is_silent() { inner.producer.take(&mut budget) } else { Ok(Vec::new()) };
    shared.make_room(&mut inner);
    drop(inner);
    let (events, rest) = match taken {
        Err(rest) => (Terms::with_room(env, 0).list(0), rest),
        Ok(taken) => {
            let mut terms = Terms::with_room(env, taken.iter().map(|part| part.events.len()).sum());
            let built = build(env, shared.bodies, consumers.origin(env), &taken, |event| terms.push(event));
            *last = built.last.map(|place| place.position(shared.on_log)).max(*last);
            let mut inner = shared.lock()?;
            let rest = if let Some(fault) = built.fault {
                let remains = inner.producer.halt();
                drop(inner);
                free(remains);
                told.marks.stopped(&fault);
                Rest::Wait
            } else {
                told.gather(&mut inner, last);
                if inner.producer.has_work() && inner.producer.once_more() { Rest::More } else { Rest::Wait }
            };
            (terms.list(0), rest)
        }
    };
    let (notices, marks) = (told.notices.marks(), told.marks.marks());
    Ok(if events.is_empty_list() && notices.is_empty() && marks.is_empty() {
        next(rest).encode(env)
    } else {
        (next(rest), events, notices, marks).encode(env)
    })
}
