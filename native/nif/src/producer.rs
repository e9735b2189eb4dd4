//! A producer of native events: its resource, and the calls of its process. Every one that there is is one of these, with
//! another source in front.
//!
//! - `settings`: what it is started with
//! - `shared`: what its source and its process share
//! - `held`: batches as its core sees them
//! - `consumers`: the terms that it keeps
//! - `serve`: from what is ready to the consumers' mailboxes
//! - `take`: from what is ready to its process, when that asks for events itself
//! - `encoder`: events as terms
//! - `outbox`: what its process has to do itself

mod consumers;
mod encoder;
mod held;
mod outbox;
mod serve;
pub mod settings;
mod shared;
mod take;

use std::future::Future;
use std::sync::Arc;

use producer_core::Rest;
use rustler::{Atom, Encoder, Env, Error, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use tokio::task::AbortHandle;

use crate::account::limits::MANY_TO_FREE;
use crate::account::{budget, timed};
use crate::deferred_drop::drop_later;
use crate::dispatcher;
use consumers::Consumer;
use serve::serve;
use settings::forward;
pub use shared::{Shared, Source};

mod atoms {
    rustler::atoms! {
        ok,
        state,
        position,
        demand,
        ready_events,
        ready_bytes,
        reconnects,
        stale_events,
        unknown_messages,
        position_beyond_end,
    }
}

/// A running producer. Its owner's death, or its own, ends the task that reads.
pub struct NativeProducer {
    /// Until it is dropped.
    shared: Option<Arc<Shared>>,
    task: AbortHandle,
}

#[rustler::resource_impl]
impl Resource for NativeProducer {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.close();
    }
}

impl NativeProducer {
    /// Begins with what feeds it, for as long as the process that calls lives.
    pub fn start<'a, F>(
        env: Env<'a>,
        runtime: &tokio::runtime::Handle,
        shared: Shared,
        source: impl FnOnce(Arc<Shared>) -> F,
    ) -> Term<'a>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::new(shared);
        let task = runtime.spawn(source(shared.clone()));
        let producer = ResourceArc::new(Self { shared: Some(shared.clone()), task: task.abort_handle() });
        runtime.spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                shared.panicked();
            }
        });
        env.monitor(&producer, &env.pid());
        producer.encode(env)
    }

    fn close(&self) {
        self.task.abort();
        if let Some(shared) = &self.shared {
            shared.clear();
        }
    }

    fn shared(&self) -> NifResult<&Arc<Shared>> {
        self.shared.as_ref().ok_or(Error::BadArg)
    }
}

impl Drop for NativeProducer {
    fn drop(&mut self) {
        let _timed = timed!(free "producer_free");
        self.task.abort();
        // the last to hold it frees its consumers
        let many = |shared: &Arc<Shared>| {
            shared.delivery().is_ok_and(|delivery| delivery.consumers.len() >= MANY_TO_FREE)
        };
        if let Some(shared) = self.shared.take_if(|shared| many(shared)) {
            drop_later(shared);
        }
    }
}

type Producer = ResourceArc<NativeProducer>;

/// Ends the producer; its process is about to end, too.
#[rustler::nif]
fn producer_close(env: Env<'_>, producer: Producer) -> Atom {
    let _timed = timed!(env, "producer_close");
    producer.close();
    atoms::ok()
}

/// Adds a consumer: its pid and tag, how it takes part in what is dealt (see [`dispatcher::membership`]), and its filter (see
/// [`Consumer::new`]).
#[rustler::nif]
fn producer_subscribe<'a>(
    env: Env<'a>,
    producer: Producer,
    key: u64,
    from: (Term<'a>, Term<'a>),
    how: Term<'a>,
    filter: Term<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "producer_subscribe");
    let shared = producer.shared()?;
    let membership = dispatcher::membership(how)?;
    let consumer = Consumer::new(shared.owner(), from, membership, filter)?;
    let mut delivery = shared.delivery()?;
    let subscribed = shared.lock()?.producer.subscribe(key, membership);
    subscribed.map_err(|error| Error::RaiseTerm(Box::new(error.to_string())))?;
    delivery.consumers.add(key, consumer);
    Ok(atoms::ok())
}

/// Removes a consumer, and serves the others that may be served then.
#[rustler::nif]
fn producer_cancel<'a>(env: Env<'a>, producer: Producer, key: u64) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "producer_cancel");
    let shared = producer.shared()?;
    let remains = shared.lock()?.producer.cancel(key);
    shared::free(remains);
    shared.delivery()?.consumers.remove(key);
    serve(env, shared, budget::ordinary(), |_| None)
}

/// Adds demand and serves it at once from what is ready.
#[rustler::nif]
fn producer_ask<'a>(env: Env<'a>, producer: Producer, key: u64, count: u64) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "producer_ask");
    serve(env, producer.shared()?, budget::ordinary(), |inner| inner.producer.ask(key, count))
}

/// Notes that a consumer did not want `count` of the events that its process was given for it; `more` when the process is to
/// send itself what wakes it.
#[rustler::nif]
fn producer_decline(env: Env<'_>, producer: Producer, key: u64, count: u64) -> NifResult<Atom> {
    let _timed = timed!(env, "producer_decline");
    let mut inner = producer.shared()?.lock()?;
    inner.producer.decline(key, count);
    Ok(outbox::next(if inner.producer.wake_due() { Rest::More } else { Rest::Wait }))
}

/// What the producer does when it is woken.
#[rustler::nif]
fn producer_serve(env: Env<'_>, producer: Producer) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "producer_serve");
    serve(env, producer.shared()?, budget::ordinary(), |inner| {
        inner.producer.awake();
        None
    })
}

/// For an event that takes longer to decode than an ordinary call may last.
#[rustler::nif(schedule = "DirtyCpu")]
fn producer_serve_dirty(env: Env<'_>, producer: Producer) -> NifResult<Term<'_>> {
    let _timed = timed!(dirty "producer_serve_dirty");
    serve(env, producer.shared()?, budget::dirty(), |_| None)
}

/// How many events one consumer waits for.
#[rustler::nif]
fn producer_demand_of(env: Env<'_>, producer: Producer, key: u64) -> NifResult<u64> {
    let _timed = timed!(env, "producer_demand_of");
    Ok(producer.shared()?.lock()?.producer.demand_of(key))
}

/// Who holds a partition, if these are `limit` or more; nobody otherwise.
#[rustler::nif]
fn producer_holders(env: Env<'_>, producer: Producer, partition: usize, limit: usize) -> NifResult<Vec<u64>> {
    let _timed = timed!(env, "producer_holders");
    Ok(producer.shared()?.lock()?.producer.holders(partition, limit))
}

#[rustler::nif]
fn producer_set_demand<'a>(env: Env<'a>, producer: Producer, mode: Term<'a>) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "producer_set_demand");
    let forward = forward(mode)?;
    serve(env, producer.shared()?, budget::ordinary(), |inner| {
        inner.producer.set_forward(forward);
        None
    })
}

#[rustler::nif]
fn producer_info(env: Env<'_>, producer: Producer) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "producer_info");
    let given = producer.shared()?.delivery()?.last;
    let inner = producer.shared()?.lock()?;
    let core = &inner.producer;
    let pairs = [
        (atoms::state(), outbox::state(core.state()).encode(env)),
        (atoms::position(), outbox::place(env, given.or(inner.after))),
        (atoms::demand(), core.demand().encode(env)),
        (atoms::ready_events(), core.ready_events().encode(env)),
        (atoms::ready_bytes(), core.ready_bytes().encode(env)),
        (atoms::reconnects(), inner.counts.reconnects.encode(env)),
        (atoms::stale_events(), inner.counts.stale.encode(env)),
        (atoms::unknown_messages(), inner.counts.unknown.encode(env)),
        (atoms::position_beyond_end(), inner.beyond.map(|beyond| outbox::beyond(env, beyond)).encode(env)),
    ];
    Term::map_from_pairs(env, &pairs)
}
