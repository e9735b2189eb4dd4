//! From the ready queue to the consumers' mailboxes, in slices that no scheduler notices.

use producer_core::{Budget, Deal, Portion, Rest, Taken};
use reader_core::Position;
use rustler::{Encoder, Env, NifResult, OwnedEnv, Term};

use crate::producer::consumers::{Consumer, Consumers, Delivery, Wants};
use crate::producer::encoder::{Built, build};
use crate::producer::held::Held;
use crate::producer::outbox::Outbox;
use crate::producer::shared::{Inner, Shared, free};
use crate::sys::{MessageEnv, Terms};

mod atoms {
    rustler::atoms! { gen_consumer = "$gen_consumer" }
}

/// Changes something and gives out what is ready and wanted then, up to the budget. `change` may say that a consumer has
/// asked for more than was expected.
///
/// Answers as [`Outbox::answer`].
pub fn serve<'a>(
    env: Env<'a>,
    shared: &Shared,
    mut budget: Budget,
    change: impl FnOnce(&mut Inner) -> Option<u64>,
) -> NifResult<Term<'a>> {
    let mut delivery = shared.delivery()?;
    let Delivery { consumers, message, scratch, last } = &mut *delivery;
    let outbox = Outbox::new(env);
    let mut sender = Sender { shared, consumers, message, outbox, last, changed: false, gone: Vec::new() };
    let mut inner = shared.lock()?;
    if let Some(most) = change(&mut inner) {
        sender.outbox.exceeded(most);
    }
    let rest = loop {
        while let Some(happened) = inner.producer.happened() {
            *sender.last = sender.last.or(inner.after);
            sender.outbox.tell(happened, sender.last);
        }
        let deal = inner.producer.deal(&mut budget);
        let more = deal.is_err() || inner.producer.has_work();
        shared.make_room(&mut inner);
        drop(inner);
        let fault = match deal {
            Ok(deal) => sender.give(&deal, scratch)?,
            Err(rest) => break rest,
        };
        if let Some(fault) = fault {
            let remains = shared.lock()?.producer.halt();
            free(remains);
            sender.outbox.stopped(&fault);
            break Rest::Wait;
        }
        // most often one deal is all; what comes meanwhile wakes the producer
        if !more && !std::mem::take(&mut sender.changed) {
            break Rest::Wait;
        }
        inner = shared.lock()?;
    };
    let Sender { outbox, gone, .. } = sender;
    for key in gone {
        consumers.remove(key);
    }
    Ok(outbox.answer(rest))
}

/// Why an event could not be given out, and with it those after it.
type Fault = Option<wire::error::Error>;

struct Sender<'a, 's> {
    shared: &'s Shared,
    consumers: &'s Consumers,
    message: &'s mut MessageEnv,
    outbox: Outbox<'a>,
    /// The latest place of the events given out.
    last: &'s mut Option<Position>,
    /// Some of what was given out was not wanted, or not taken.
    changed: bool,
    /// Consumers that were cancelled meanwhile.
    gone: Vec<u64>,
}

impl Sender<'_, '_> {
    fn give(&mut self, deal: &Deal<Held>, scratch: &mut OwnedEnv) -> NifResult<Fault> {
        match deal {
            Deal::One(key, taken) => self.one(*key, taken, scratch),
            Deal::Everyone(taken) => match self.consumers.only() {
                Some((key, consumer)) if !consumer.lags() => self.one(key, taken, scratch),
                _ => self.copies(None, taken, scratch),
            },
            Deal::Each(deals) => {
                for (key, taken) in deals {
                    let fault = self.one(*key, taken, scratch)?;
                    if fault.is_some() {
                        return Ok(fault);
                    }
                }
                Ok(None)
            }
        }
    }

    fn one(&mut self, key: u64, taken: &[Taken<Held>], scratch: &mut OwnedEnv) -> NifResult<Fault> {
        let Self { shared, consumers, message, outbox, .. } = self;
        let consumer = consumers.get(key)?;
        let env = outbox.env();
        let built = match (consumer.wants(), consumer.local()) {
            (Wants::Every, Some(pid)) => {
                let mut built = Built::default();
                message.build(|own| {
                    let (events, how) = list(own, shared, consumers, taken);
                    built = how;
                    addressed(own, consumer, events)
                });
                // a consumer that is gone takes its events with it; its monitor says so
                if built.count > 0 {
                    message.send(env, &pid);
                }
                built
            }
            (Wants::Every, None) => {
                let (events, built) = list(env, shared, consumers, taken);
                if built.count > 0 {
                    outbox.send(consumer.pid(env), addressed(env, consumer, events));
                }
                built
            }
            (Wants::Hosted, _) => {
                let (events, built) = list(env, shared, consumers, taken);
                if built.count > 0 {
                    outbox.choose(key, events);
                }
                built
            }
            (Wants::Match, _) => return self.copies(Some(key), taken, scratch),
        };
        Ok(self.note(built))
    }

    fn note(&mut self, built: Built) -> Fault {
        *self.last = built.last.map(|place| place.position(self.shared.on_log)).max(*self.last);
        built.fault
    }

    /// Builds events once and gives a consumer, or each of them, a copy of what it wants of them.
    fn copies(
        &mut self,
        only: Option<u64>,
        taken: &[Taken<Held>],
        scratch: &mut OwnedEnv,
    ) -> NifResult<Fault> {
        let built = scratch.run(|env| -> NifResult<Built> {
            let mut events = Vec::new();
            let origin = self.consumers.origin(env);
            let built = build(env, self.shared.bodies, origin, taken, |event| events.push(event));
            match only {
                Some(key) => self.copy(env, key, taken, &events, false)?,
                None => {
                    for key in
                        self.consumers.keys().filter(|key| !self.gone.contains(key)).collect::<Vec<_>>()
                    {
                        self.copy(env, key, taken, &events, true)?;
                    }
                }
            }
            Ok(built)
        });
        scratch.clear();
        Ok(self.note(built?))
    }

    fn copy<'s>(
        &mut self,
        env: Env<'s>,
        key: u64,
        taken: &[Taken<Held>],
        events: &[Term<'s>],
        everyone: bool,
    ) -> NifResult<()> {
        let consumer = self.consumers.get(key)?;
        if events.is_empty() {
            return Ok(());
        }
        let pattern = consumer.pattern(env)?;
        let wants = |event: Term<'s>| pattern.as_ref().is_none_or(|pattern| pattern.matches(event));
        let mut wanted: Vec<Term<'s>> = events.iter().copied().filter(|event| wants(*event)).collect();
        if everyone && consumer.lags() {
            let chosen = choose(taken, events.iter().map(|event| wants(*event)));
            match self.share(key, taken, &chosen)? {
                Some(now) => wanted.truncate(now),
                None => return Ok(()),
            }
            self.changed = true;
        } else if wanted.len() < events.len() {
            self.changed = true;
            self.shared.lock()?.producer.decline(key, (events.len() - wanted.len()) as u64);
        }
        if !wanted.is_empty() {
            self.send(key, &wanted)?;
        }
        Ok(())
    }

    /// How many of the events that it has chosen a consumer gets which holds nobody up; `None` when it is cancelled.
    fn share(&mut self, key: u64, dealt: &[Taken<Held>], chosen: &[Taken<Held>]) -> NifResult<Option<usize>> {
        let dealt = dealt.iter().map(|part| part.events.len() as u64).sum();
        let mut inner = self.shared.lock()?;
        Ok(match inner.producer.share(key, dealt, chosen) {
            Portion::All => Some(usize::MAX),
            Portion::Part { now, dropped } => {
                if dropped > 0 {
                    self.outbox.lagged(key, dropped);
                }
                Some(usize::try_from(now).unwrap_or(usize::MAX))
            }
            Portion::Cancel => {
                let remains = inner.producer.cancel(key);
                drop(inner);
                free(remains);
                self.gone.push(key);
                self.outbox.lagging(key);
                None
            }
        })
    }

    fn send(&mut self, key: u64, events: &[Term<'_>]) -> NifResult<()> {
        let Self { consumers, message, outbox, .. } = self;
        let consumer = consumers.get(key)?;
        let env = outbox.env();
        match (consumer.wants(), consumer.local()) {
            (Wants::Hosted, _) => outbox.choose(key, copied(env, events)),
            (_, Some(pid)) => {
                message.build(|own| addressed(own, consumer, copied(own, events)));
                message.send(env, &pid);
            }
            (_, None) => outbox.send(consumer.pid(env), addressed(env, consumer, copied(env, events))),
        }
        Ok(())
    }
}

/// `{:"$gen_consumer", {producer, tag}, events}`
fn addressed<'b>(env: Env<'b>, consumer: &Consumer, events: Term<'b>) -> Term<'b> {
    (atoms::gen_consumer(), consumer.from(env), events).encode(env)
}

fn list<'b>(
    env: Env<'b>,
    shared: &Shared,
    consumers: &Consumers,
    taken: &[Taken<Held>],
) -> (Term<'b>, Built) {
    let mut terms = Terms::with_room(env, taken.iter().map(|part| part.events.len()).sum());
    let built = build(env, shared.bodies, consumers.origin(env), taken, |event| terms.push(event));
    (terms.list(0), built)
}

fn copied<'b>(env: Env<'b>, events: &[Term<'_>]) -> Term<'b> {
    let mut terms = Terms::with_room(env, events.len());
    for event in events {
        terms.push(event.in_env(env));
    }
    terms.list(0)
}

/// Those of the events of which that is so, in their batches.
fn choose(taken: &[Taken<Held>], chosen: impl Iterator<Item = bool>) -> Vec<Taken<Held>> {
    let mut all: Vec<Taken<Held>> = Vec::new();
    let places = taken.iter().flat_map(|part| part.events.clone().map(move |at| (&part.frame, at)));
    for ((frame, at), _) in places.zip(chosen).filter(|(_, chosen)| *chosen) {
        match all.last_mut().filter(|last| last.frame.is(frame) && last.events.end == at) {
            Some(last) => last.events.end += 1,
            None => all.push(Taken { frame: frame.clone(), events: at..at + 1 }),
        }
    }
    all
}
