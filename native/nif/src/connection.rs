//! A connection to a server, and its short calls. Each is answered by a message `{reference, result}`.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use bytes::Bytes;
use client::{Appended, Connection, Direction, Expectation, From, NewEvent, Read, append, read_stream};
use futures_util::FutureExt;
use rustler::{Atom, Binary, Encoder, Env, NifResult, OwnedEnv, Resource, ResourceArc, Term};
use uuid::Uuid;
use wire::connection_string::ConnectionString;
use wire::error::Error;
use wire::recorded::{Message, parse};

use crate::event_term::{Bodies, Encoder as EventEncoder};
use crate::frame::Frame;
use crate::{error, runtime, timeslice};

mod atoms {
    rustler::atoms! {
        ok, error, nil, revision, position, any, no_stream, stream_exists, start, end, forwards, backwards
    }
}

/// A connection that calls and subscriptions share.
pub struct StoreConnection {
    pub connection: Connection,
}

#[rustler::resource_impl]
impl Resource for StoreConnection {}

#[rustler::nif]
fn event_store_open<'a>(env: Env<'a>, connection_string: &str) -> Term<'a> {
    let opened = open(env, connection_string);
    match opened {
        Ok(connection) => (atoms::ok(), ResourceArc::new(StoreConnection { connection })).encode(env),
        Err(error) => (atoms::error(), error).encode(env),
    }
}

fn open<'a>(env: Env<'a>, connection_string: &str) -> Result<Connection, Term<'a>> {
    let settings = ConnectionString::parse(connection_string)
        .map_err(|error| error::connection_string(env, &error.to_string()))?;
    let runtime = runtime::handle().map_err(|kind| error::no_runtime(env, kind))?;
    let _within = runtime.enter();
    Connection::new(&settings).map_err(|unsupported| error::unsupported(env, &unsupported.to_string()))
}

type Event<'a> = (&'a str, &'a str, &'a str, Binary<'a>, Binary<'a>);

#[rustler::nif]
fn event_store_append<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    stream: Binary<'a>,
    expect: Term<'a>,
    events: Vec<Event<'a>>,
) -> NifResult<Atom> {
    let began = Instant::now();
    let expectation = expectation(expect)?;
    let events = events.iter().map(new_event).collect::<NifResult<Vec<_>>>()?;
    let stream = Bytes::copy_from_slice(stream.as_slice());
    // copying what is appended takes its time
    timeslice::report(env, began);
    let connection = store.connection.clone();
    answer(
        env,
        reference,
        async move { append(&connection, stream, expectation, events).await },
        |env, appended| match appended {
            Ok(Appended { revision, position }) => {
                let pairs =
                    [(atoms::revision(), revision.encode(env)), (atoms::position(), position.encode(env))];
                let appended = Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env));
                (atoms::ok(), appended).encode(env)
            }
            Err(cause) => (atoms::error(), error::term(env, &cause)).encode(env),
        },
    )
}

fn expectation(expect: Term<'_>) -> NifResult<Expectation> {
    if let Ok(revision) = expect.decode::<u64>() {
        return Ok(Expectation::Revision(revision));
    }
    let name: Atom = expect.decode()?;
    if name == atoms::no_stream() {
        Ok(Expectation::NoStream)
    } else if name == atoms::stream_exists() {
        Ok(Expectation::StreamExists)
    } else {
        Ok(Expectation::Any)
    }
}

fn new_event((id, event_type, content_type, data, custom_metadata): &Event<'_>) -> NifResult<NewEvent> {
    Ok(NewEvent {
        id: Uuid::parse_str(id).map_err(|_| rustler::Error::BadArg)?,
        event_type: (*event_type).to_owned(),
        content_type: (*content_type).to_owned(),
        data: Bytes::copy_from_slice(data.as_slice()),
        custom_metadata: Bytes::copy_from_slice(custom_metadata.as_slice()),
    })
}

type Reading<'a> = (Term<'a>, Atom, u64, bool, bool);

#[rustler::nif]
fn event_store_read<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    stream: Binary<'a>,
    reading: Reading<'a>,
) -> NifResult<Atom> {
    let (from, direction, count, resolve_links, decode) = reading;
    let backwards = direction == atoms::backwards();
    let direction = if backwards { Direction::Backwards } else { Direction::Forwards };
    let stream = Bytes::copy_from_slice(stream.as_slice());
    let read = Read { stream, from: place(from)?, direction, count, resolve_links };
    let connection = store.connection.clone();
    let name = String::from_utf8_lossy(&read.stream).into_owned();
    answer(env, reference, async move { read_stream(&connection, &read).await }, move |env, events| {
        match events {
            Ok(Some(events)) => match event_terms(env, decode, events) {
                Ok(events) => (atoms::ok(), events).encode(env),
                Err(cause) => (atoms::error(), error::term(env, &cause)).encode(env),
            },
            Ok(None) => (atoms::error(), error::stream_not_found(env, &name)).encode(env),
            Err(cause) => (atoms::error(), error::term(env, &cause)).encode(env),
        }
    })
}

fn place(from: Term<'_>) -> NifResult<From> {
    if let Ok(revision) = from.decode::<u64>() {
        return Ok(From::Revision(revision));
    }
    let edge: Atom = from.decode()?;
    Ok(if edge == atoms::start() { From::Start } else { From::End })
}

fn event_terms(env: Env<'_>, decode: bool, events: Vec<Bytes>) -> Result<Vec<Term<'_>>, Error> {
    let frame = Frame::new(events);
    let nil = atoms::nil().encode(env);
    let mut encoder = EventEncoder::new(env, &frame, Bodies { decode, copy: false }, nil, nil);
    let decoded = frame.messages().iter().enumerate().map(|(index, message)| match parse(message) {
        Ok(Message::Event(event)) => Ok(encoder.event(index, &event)),
        Ok(other) => Err(Error::Protocol { message: format!("{other:?} where an event was expected") }),
        Err(error) => Err(Error::Protocol { message: format!("an event cannot be decoded: {error}") }),
    });
    decoded.collect()
}

/// Runs the call on the runtime and sends its result to the caller, whatever becomes of it.
fn answer<T: Send + 'static>(
    env: Env<'_>,
    reference: Term<'_>,
    call: impl Future<Output = T> + Send + 'static,
    encode: impl for<'b> FnOnce(Env<'b>, T) -> Term<'b> + Send + 'static,
) -> NifResult<Atom> {
    let runtime = runtime::handle().map_err(|_| rustler::Error::Term(Box::new("no runtime")))?;
    let caller = env.pid();
    let mut message = OwnedEnv::new();
    let reference = message.save(reference);
    runtime.spawn(async move {
        let result = AssertUnwindSafe(call).catch_unwind().await;
        let sent = message.send_and_clear(&caller, |env| {
            let result = match result {
                Ok(result) => encode(env, result),
                Err(_) => (atoms::error(), error::panicked(env, "the call")).encode(env),
            };
            (reference.load(env), result)
        });
        // a caller that is gone needs no answer
        sent.ok();
    });
    Ok(atoms::ok())
}
