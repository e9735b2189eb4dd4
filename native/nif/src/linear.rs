//! The linear subscription: what its producer is fed with.

use client::{OnBeyond, Subscription};
use reader_core::{Backoff, LogPosition, Position, Start, Target};
use rustler::{Encoder, Env, NifResult, ResourceArc, Term};

use crate::account::timed;
use crate::connection::{self, StoreConnection};
use crate::producer::settings::{self, Wanted};
use crate::producer::{NativeProducer, Source};
use crate::{argument, error, log, runtime};

mod atoms {
    rustler::atoms! { ok, error, start, end, wait, stop, stream, all, nil }
}

/// `{:stream, name, position}` or `{:all, position, filter | nil}`.
type Subscribed<'a> = (Term<'a>, Term<'a>, Term<'a>);
/// Whether links are resolved, how large a message of the server may be, and what to do about a position beyond the end.
type Reading<'a> = (bool, Term<'a>, Term<'a>);

#[rustler::nif]
fn linear_open<'a>(
    env: Env<'a>,
    connection: ResourceArc<StoreConnection>,
    subscribed: Subscribed<'a>,
    reading: Reading<'a>,
    wanted: Wanted<'a>,
) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "linear_open");
    let (resolve_links, max_message_size, on_beyond) = reading;
    let beyond = [(atoms::wait(), OnBeyond::Wait), (atoms::stop(), OnBeyond::Stop)];
    let target = target(subscribed)?;
    let subscription = Subscription {
        target: target.clone(),
        resolve_links,
        max_message_size: argument::number("max_message_size", max_message_size, 1..=u64::from(u32::MAX))?,
        on_beyond: argument::one_of("on_position_beyond_end", on_beyond, &beyond)?,
        backoff: Backoff::default(),
        patience: client::PATIENCE,
    };
    let shared = settings::decode(env.pid(), wanted, source(&target))?;
    let runtime = match runtime::handle() {
        Ok(runtime) => runtime,
        Err(kind) => return Ok((atoms::error(), error::no_runtime(env, kind)).encode(env)),
    };
    let connection = connection.connection.clone();
    let source = |sink| client::run(connection, subscription, sink);
    Ok((atoms::ok(), NativeProducer::start(env, runtime, shared, source)).encode(env))
}

fn target((kind, first, second): Subscribed<'_>) -> NifResult<Target> {
    let kinds = [(atoms::stream(), false), (atoms::all(), true)];
    if argument::one_of("the kind of a subscription", kind, &kinds)? {
        Ok(Target::All { from: place(first)?, filter: log::maybe_filter(second)? })
    } else {
        Ok(Target::Stream { name: connection::bytes("stream_name", first)?, from: revision(second)? })
    }
}

/// Where its events come from, and after what.
fn source(target: &Target) -> Source {
    match target {
        Target::Stream { from: Start::After(revision), .. } => {
            Source { on_log: false, after: Some(Position::Revision(*revision)) }
        }
        Target::Stream { from: Start::Beginning | Start::End, .. } => Source { on_log: false, after: None },
        Target::All { from: Start::After(position), .. } => {
            Source { on_log: true, after: Some(Position::Log(*position)) }
        }
        Target::All { from: Start::Beginning | Start::End, .. } => Source { on_log: true, after: None },
    }
}

const POSITION: &str = "restore_stream_position!";

fn revision(position: Term<'_>) -> NifResult<Start> {
    let named = [(atoms::start(), Start::Beginning), (atoms::end(), Start::End)];
    argument::one_of_or_revision(POSITION, position, &named, Start::After)
}

fn place(position: Term<'_>) -> NifResult<Start<LogPosition>> {
    if let Some(position) = log::position(position) {
        return Ok(Start::After(position));
    }
    let named = [(atoms::start(), Start::Beginning), (atoms::end(), Start::End)];
    argument::one_of(POSITION, position, &named)
}
