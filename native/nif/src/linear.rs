//! The linear subscription: its resource, and the calls of its producer process.
//!
//! - `book`: the terms it keeps
//! - `shared`: what the client's task and the producer share
//! - `serve`: from the ready queue to the consumers' mailboxes

mod book;
mod serve;
mod shared;

use std::sync::Arc;

use bytes::Bytes;
use client::{Limits, Subscription as Wanted};
use reader_core::{Backoff, Start, State};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use stage_core::{DemandDispatcher, DemandOptions};
use tokio::task::AbortHandle;

use crate::connection::StoreConnection;
use crate::event_term::Bodies;
use crate::linear::book::Book;
use crate::linear::serve::{Budget, serve};
use crate::linear::shared::Shared;
use crate::{error, runtime};

mod atoms {
    rustler::atoms! {
        ok,
        error,
        start,
        end,
        forward,
        connecting,
        reading,
        subscribed,
        backing_off,
        stopped,
        state,
        revision,
        demand,
        ready_events,
        ready_bytes,
        reconnects,
        stale_events,
        unknown_messages,
        nil,
    }
}

/// A running subscription. Its owner's death, or its own, ends the task that reads.
pub struct Linear {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[rustler::resource_impl]
impl Resource for Linear {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.close();
    }
}

impl Linear {
    fn close(&self) {
        self.task.abort();
        self.shared.clear();
    }
}

impl Drop for Linear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Settings<'a> = (Limited, (bool, bool), bool, (Option<u64>, Option<u64>), Atom, (Term<'a>, Term<'a>));
/// Events, bytes, and the events of one message.
type Limited = (usize, usize, usize);

#[rustler::nif]
fn linear_open<'a>(
    env: Env<'a>,
    connection: ResourceArc<StoreConnection>,
    stream: Binary<'a>,
    position: Term<'a>,
    settings: Settings<'a>,
) -> NifResult<Term<'a>> {
    let ((events, bytes, slice), (decode, copy), resolve_links, dispatcher, demand, origin) = settings;
    let (max_demand, shuffle_first_deal) = dispatcher;
    let runtime = match runtime::handle() {
        Ok(runtime) => runtime,
        Err(kind) => return Ok((atoms::error(), error::no_runtime(env, kind)).encode(env)),
    };
    let shared = Arc::new(Shared::new(
        env.pid(),
        Limits { events, bytes },
        slice,
        Bodies { decode, copy },
        DemandDispatcher::new(DemandOptions { max_demand, shuffle_first_deal, rate: None }),
        demand == atoms::forward(),
        Book::new(origin),
    ));
    let from = start(position)?;
    shared.begin(from);
    let wanted = Wanted {
        stream: Bytes::copy_from_slice(stream.as_slice()),
        from,
        resolve_links,
        backoff: Backoff::default(),
    };
    let task = runtime.spawn(client::run(connection.connection.clone(), wanted, shared.clone()));
    let linear = ResourceArc::new(Linear { shared: shared.clone(), task: task.abort_handle() });
    runtime.spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            shared.panicked();
        }
    });
    env.monitor(&linear, &env.pid());
    Ok((atoms::ok(), linear).encode(env))
}

fn start(position: Term<'_>) -> NifResult<Start> {
    if let Ok(edge) = position.decode::<Atom>() {
        return if edge == atoms::start() { Ok(Start::Beginning) } else { Ok(Start::End) };
    }
    Ok(Start::After(position.decode()?))
}

/// Ends the subscription; the process is about to end, too.
#[rustler::nif]
fn linear_close(linear: ResourceArc<Linear>) -> Atom {
    linear.close();
    atoms::ok()
}

#[rustler::nif]
fn linear_subscribe<'a>(
    linear: ResourceArc<Linear>,
    key: u64,
    pid: Term<'a>,
    tag: Term<'a>,
) -> NifResult<Atom> {
    linear.shared.subscribe(key, pid, tag)?;
    Ok(atoms::ok())
}

#[rustler::nif]
fn linear_cancel(linear: ResourceArc<Linear>, key: u64) -> NifResult<Atom> {
    linear.shared.cancel(key)?;
    Ok(atoms::ok())
}

/// Adds demand and serves it at once from what is ready.
#[rustler::nif]
fn linear_ask<'a>(env: Env<'a>, linear: ResourceArc<Linear>, key: u64, count: u64) -> NifResult<Term<'a>> {
    let exceeded = linear.shared.lock()?.ask(key, count);
    serve(env, &linear.shared, Budget::ordinary(), exceeded)
}

/// What the producer does when it is woken.
#[rustler::nif]
fn linear_serve(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    linear.shared.lock()?.awake();
    serve(env, &linear.shared, Budget::ordinary(), None)
}

/// For an event that takes longer to decode than an ordinary call may last.
#[rustler::nif(schedule = "DirtyCpu")]
fn linear_serve_dirty(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    serve(env, &linear.shared, Budget::dirty(), None)
}

/// How many events one consumer waits for.
#[rustler::nif]
fn linear_demand_of(linear: ResourceArc<Linear>, key: u64) -> NifResult<u64> {
    Ok(linear.shared.lock()?.dispatcher.demand_of(&key).unwrap_or(0))
}

#[rustler::nif]
fn linear_set_demand<'a>(env: Env<'a>, linear: ResourceArc<Linear>, mode: Atom) -> NifResult<Term<'a>> {
    linear.shared.lock()?.forward = mode == atoms::forward();
    serve(env, &linear.shared, Budget::ordinary(), None)
}

#[rustler::nif]
fn linear_info(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    let inner = linear.shared.lock()?;
    let pairs = [
        (atoms::state(), state(inner.state).encode(env)),
        (atoms::revision(), inner.revision.encode(env)),
        (atoms::demand(), inner.dispatcher.demand().encode(env)),
        (atoms::ready_events(), inner.ready.events().encode(env)),
        (atoms::ready_bytes(), inner.ready.bytes().encode(env)),
        (atoms::reconnects(), inner.counts.reconnects.encode(env)),
        (atoms::stale_events(), inner.counts.stale.encode(env)),
        (atoms::unknown_messages(), inner.counts.unknown.encode(env)),
    ];
    Term::map_from_pairs(env, &pairs)
}

fn state(state: State) -> Atom {
    match state {
        State::Connecting => atoms::connecting(),
        State::Reading => atoms::reading(),
        State::Subscribed => atoms::subscribed(),
        State::BackingOff => atoms::backing_off(),
        State::Stopped => atoms::stopped(),
    }
}
