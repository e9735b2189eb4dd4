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
use client::{Limits, OnBeyond, Subscription as Wanted};
use reader_core::{Backoff, Start, State, Target};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use stage_core::{DemandDispatcher, DemandOptions};
use tokio::task::AbortHandle;

use crate::account::timed;
use crate::connection::StoreConnection;
use crate::event_term::Bodies;
use crate::linear::book::Book;
use crate::linear::serve::{Budget, serve};
use crate::linear::shared::Shared;
use crate::{argument, error, runtime};

mod atoms {
    rustler::atoms! {
        ok,
        error,
        start,
        end,
        forward,
        accumulate,
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
        position_beyond_end,
        wait,
        stop,
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

/// Limits, bodies, whether links are resolved, the dispatcher's options, how demand is met, what to do about a position
/// beyond the end, and what events say of their origin.
type Settings<'a> =
    (Limited<'a>, (bool, bool), bool, (Term<'a>, Option<u64>), Term<'a>, Term<'a>, (Term<'a>, Term<'a>));
/// Events, bytes, the events of one message to a consumer, and the bytes of one from the server.
type Limited<'a> = (Term<'a>, Term<'a>, Term<'a>, Term<'a>);

#[rustler::nif]
fn linear_open<'a>(
    env: Env<'a>,
    connection: ResourceArc<StoreConnection>,
    stream: Term<'a>,
    position: Term<'a>,
    settings: Settings<'a>,
) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "linear_open");
    let (limited, (decode, copy), resolve_links, dispatcher, demand, on_beyond, origin) = settings;
    let (limits, slice, max_message_size) = limits(limited)?;
    let from = start(position)?;
    let stream: Binary<'a> = argument::any("stream_name", stream, "a binary")?;
    let beyond = [(atoms::wait(), OnBeyond::Wait), (atoms::stop(), OnBeyond::Stop)];
    let wanted = Wanted {
        target: Target::Stream { name: Bytes::copy_from_slice(stream.as_slice()), from },
        resolve_links,
        max_message_size,
        on_beyond: argument::one_of("on_position_beyond_end", on_beyond, &beyond)?,
        backoff: Backoff::default(),
        patience: client::PATIENCE,
    };
    let runtime = match runtime::handle() {
        Ok(runtime) => runtime,
        Err(kind) => return Ok((atoms::error(), error::no_runtime(env, kind)).encode(env)),
    };
    let shared = Arc::new(Shared::new(
        env.pid(),
        limits,
        slice,
        Bodies { decode, copy },
        self::dispatcher(dispatcher)?,
        forward(demand)?,
        Book::new(origin),
    ));
    shared.begin(from);
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

fn limits((events, bytes, slice, message): Limited<'_>) -> NifResult<(Limits, usize, u64)> {
    let limits = Limits {
        events: argument::size("buffer_size", events, 1..=u64::MAX)?,
        bytes: argument::size("buffer_bytes", bytes, 1..=u64::MAX)?,
    };
    let slice = argument::size("max_count", slice, 1..=1000)?;
    Ok((limits, slice, argument::number("max_message_size", message, 1..=u64::from(u32::MAX))?))
}

fn dispatcher((max_demand, shuffle_first_deal): (Term<'_>, Option<u64>)) -> NifResult<DemandDispatcher<u64>> {
    let max_demand = if max_demand.decode::<Atom>().is_ok_and(|atom| atom == atoms::nil()) {
        None
    } else {
        Some(argument::number("max_demand", max_demand, 1..=u64::MAX)?)
    };
    Ok(DemandDispatcher::new(DemandOptions { max_demand, shuffle_first_deal, rate: None }))
}

fn start(position: Term<'_>) -> NifResult<Start> {
    let named = [(atoms::start(), Start::Beginning), (atoms::end(), Start::End)];
    argument::one_of_or_revision("restore_stream_position!", position, &named, Start::After)
}

/// Whether demand is met, or only kept.
fn forward(mode: Term<'_>) -> NifResult<bool> {
    argument::one_of("demand", mode, &[(atoms::forward(), true), (atoms::accumulate(), false)])
}

/// Ends the subscription; the process is about to end, too.
#[rustler::nif]
fn linear_close(env: Env<'_>, linear: ResourceArc<Linear>) -> Atom {
    let _timed = timed!(env, "linear_close");
    linear.close();
    atoms::ok()
}

#[rustler::nif]
fn linear_subscribe<'a>(
    env: Env<'a>,
    linear: ResourceArc<Linear>,
    key: u64,
    pid: Term<'a>,
    tag: Term<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "linear_subscribe");
    linear.shared.subscribe(key, pid, tag)?;
    Ok(atoms::ok())
}

#[rustler::nif]
fn linear_cancel(env: Env<'_>, linear: ResourceArc<Linear>, key: u64) -> NifResult<Atom> {
    let _timed = timed!(env, "linear_cancel");
    linear.shared.cancel(key)?;
    Ok(atoms::ok())
}

/// Adds demand and serves it at once from what is ready.
#[rustler::nif]
fn linear_ask<'a>(env: Env<'a>, linear: ResourceArc<Linear>, key: u64, count: u64) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "linear_ask");
    let exceeded = linear.shared.lock()?.ask(key, count);
    serve(env, &linear.shared, Budget::ordinary(), exceeded)
}

/// What the producer does when it is woken.
#[rustler::nif]
fn linear_serve(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "linear_serve");
    linear.shared.lock()?.awake();
    serve(env, &linear.shared, Budget::ordinary(), None)
}

/// For an event that takes longer to decode than an ordinary call may last.
#[rustler::nif(schedule = "DirtyCpu")]
fn linear_serve_dirty(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    let _timed = timed!(dirty "linear_serve_dirty");
    serve(env, &linear.shared, Budget::dirty(), None)
}

/// How many events one consumer waits for.
#[rustler::nif]
fn linear_demand_of(env: Env<'_>, linear: ResourceArc<Linear>, key: u64) -> NifResult<u64> {
    let _timed = timed!(env, "linear_demand_of");
    Ok(linear.shared.lock()?.dispatcher.demand_of(&key).unwrap_or(0))
}

#[rustler::nif]
fn linear_set_demand<'a>(env: Env<'a>, linear: ResourceArc<Linear>, mode: Term<'a>) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "linear_set_demand");
    linear.shared.lock()?.forward = forward(mode)?;
    serve(env, &linear.shared, Budget::ordinary(), None)
}

#[rustler::nif]
fn linear_info(env: Env<'_>, linear: ResourceArc<Linear>) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "linear_info");
    let inner = linear.shared.lock()?;
    let pairs = [
        (atoms::state(), state(inner.state()).encode(env)),
        (atoms::revision(), inner.revision.encode(env)),
        (atoms::demand(), inner.dispatcher.demand().encode(env)),
        (atoms::ready_events(), inner.ready.events().encode(env)),
        (atoms::ready_bytes(), inner.ready.bytes().encode(env)),
        (atoms::reconnects(), inner.counts.reconnects.encode(env)),
        (atoms::stale_events(), inner.counts.stale.encode(env)),
        (atoms::unknown_messages(), inner.counts.unknown.encode(env)),
        (atoms::position_beyond_end(), inner.beyond.map(|beyond| serve::beyond(env, beyond)).encode(env)),
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
