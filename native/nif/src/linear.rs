//! The linear subscription: what its producer is fed with.

use bytes::Bytes;
use client::{OnBeyond, Subscription};
use reader_core::{Backoff, Start, Target};
use rustler::{Binary, Encoder, Env, NifResult, ResourceArc, Term};

use crate::account::timed;
use crate::connection::StoreConnection;
use crate::producer::NativeProducer;
use crate::producer::settings::{self, Wanted};
use crate::{argument, error, runtime};

mod atoms {
    rustler::atoms! { ok, error, start, end, wait, stop }
}

/// Whether links are resolved, how large a message of the server may be, and what to do about a position beyond the end.
type Reading<'a> = (bool, Term<'a>, Term<'a>);

#[rustler::nif]
fn linear_open<'a>(
    env: Env<'a>,
    connection: ResourceArc<StoreConnection>,
    stream: Term<'a>,
    position: Term<'a>,
    reading: Reading<'a>,
    wanted: Wanted<'a>,
) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "linear_open");
    let (resolve_links, max_message_size, on_beyond) = reading;
    let from = start(position)?;
    let stream: Binary<'a> = argument::any("stream_name", stream, "a binary")?;
    let beyond = [(atoms::wait(), OnBeyond::Wait), (atoms::stop(), OnBeyond::Stop)];
    let subscription = Subscription {
        target: Target::Stream { name: Bytes::copy_from_slice(stream.as_slice()), from },
        resolve_links,
        max_message_size: argument::number("max_message_size", max_message_size, 1..=u64::from(u32::MAX))?,
        on_beyond: argument::one_of("on_position_beyond_end", on_beyond, &beyond)?,
        backoff: Backoff::default(),
        patience: client::PATIENCE,
    };
    let after = match from {
        Start::After(revision) => Some(revision),
        Start::Beginning | Start::End => None,
    };
    let shared = settings::decode(env.pid(), wanted, after)?;
    let runtime = match runtime::handle() {
        Ok(runtime) => runtime,
        Err(kind) => return Ok((atoms::error(), error::no_runtime(env, kind)).encode(env)),
    };
    let connection = connection.connection.clone();
    let source = |sink| client::run(connection, subscription, sink);
    Ok((atoms::ok(), NativeProducer::start(env, runtime, shared, source)).encode(env))
}

fn start(position: Term<'_>) -> NifResult<Start> {
    let named = [(atoms::start(), Start::Beginning), (atoms::end(), Start::End)];
    argument::one_of_or_revision("restore_stream_position!", position, &named, Start::After)
}
