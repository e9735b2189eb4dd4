//! A connection to a server, and its short calls. Each is answered by a message `{reference, answer}`; what the answer says
//! is asked for with the calls of `answer`.

mod answer;
mod deleting;
mod reading;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use client::{Connection, Credentials, Expectation, NewEvent, Outcome, Settings, Time, append, settle};
use producer_core::Budget;
use rustler::{Atom, Binary, Encoder, Env, ListIterator, NifResult, OwnedEnv, Resource, ResourceArc, Term};
use uuid::Uuid;
use wire::connection_string::{ConnectionString, ConnectionStringError, MOST_BYTES, Secret};

use crate::account::{budget, timed};
use crate::connection::answer::{Answer, CallAnswer};
use crate::{argument, error, runtime};

mod atoms {
    rustler::atoms! {
        ok, error, large, nil, infinity, any, no_stream, stream_exists, bearer,
    }
}

/// A connection that calls and subscriptions share.
pub struct StoreConnection {
    pub connection: Connection,
}

#[rustler::resource_impl]
impl Resource for StoreConnection {}

/// Reads the files that a connection string names, so it may take its time.
#[rustler::nif(schedule = "DirtyIo")]
fn event_store_open_dirty<'a>(env: Env<'a>, connection_string: Term<'a>) -> NifResult<Term<'a>> {
    let _timed = timed!(dirty "event_store_open_dirty");
    let bytes: Binary<'a> = argument::any("connection_string", connection_string, "a binary")?;
    let opened = if bytes.len() > MOST_BYTES {
        // before all of it is looked at
        let error = ConnectionStringError::TooLong { bytes: bytes.len() };
        Err(error::connection_string(env, &error.to_string()))
    } else {
        open(env, argument::any("connection_string", connection_string, "a string in UTF-8")?)
    };
    Ok(match opened {
        Ok(connection) => (atoms::ok(), ResourceArc::new(StoreConnection { connection })).encode(env),
        Err(error) => (atoms::error(), error).encode(env),
    })
}

fn open<'a>(env: Env<'a>, connection_string: &str) -> Result<Connection, Term<'a>> {
    let settings = ConnectionString::parse(connection_string)
        .map_err(|error| error::connection_string(env, &error.to_string()))?;
    let runtime = runtime::handle().map_err(|kind| error::no_runtime(env, kind))?;
    let _within = runtime.enter();
    let connection = Settings::of(&settings).and_then(Connection::new);
    connection.map_err(|unusable| error::connection_string(env, &unusable.to_string()))
}

/// The same connection for somebody else's calls: `{user, password}` or `{:bearer, token}`. What is none of them is not
/// repeated: it may be a secret.
#[rustler::nif]
fn event_store_as<'a>(env: Env<'a>, store: ResourceArc<StoreConnection>, credentials: Term<'a>) -> Term<'a> {
    let _timed = timed!(env, "event_store_as");
    let connection = credentials_of(credentials)
        .ok_or_else(|| "credentials take {user, password} or {:bearer, token}, of strings".to_owned())
        .and_then(|who| store.connection.with_credentials(&who).map_err(|error| error.to_string()));
    match connection {
        Ok(connection) => (atoms::ok(), ResourceArc::new(StoreConnection { connection })).encode(env),
        Err(message) => (atoms::error(), error::connection_string(env, &message)).encode(env),
    }
}

fn credentials_of(term: Term<'_>) -> Option<Credentials> {
    let (who, secret) = term.decode::<(Term<'_>, String)>().ok()?;
    let secret = Secret::new(secret);
    match who.decode::<Atom>() {
        Ok(kind) if kind == atoms::bearer() => Some(Credentials::Bearer(secret)),
        Ok(_) => None,
        Err(_) => Some(Credentials::User { name: who.decode().ok()?, password: secret }),
    }
}

/// What the stream has to be, and how long the call may take.
type Appending<'a> = (Term<'a>, Term<'a>);
/// Id, type, content type, data, custom metadata.
type Event<'a> = (Term<'a>, Term<'a>, Term<'a>, Term<'a>, Term<'a>);

/// Answers `:ok` when the call is on its way, `:large` when it takes longer to begin than an ordinary call may.
#[rustler::nif]
fn event_store_append<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    stream: Term<'a>,
    appending: Appending<'a>,
    events: Term<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "event_store_append");
    begin_append(env, &store, reference, stream, appending, events, Some(budget::ordinary()))
}

/// The same for what takes long.
#[rustler::nif(schedule = "DirtyCpu")]
fn event_store_append_dirty<'a>(
    env: Env<'a>,
    store: ResourceArc<StoreConnection>,
    reference: Term<'a>,
    stream: Term<'a>,
    appending: Appending<'a>,
    events: Term<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(dirty "event_store_append_dirty");
    begin_append(env, &store, reference, stream, appending, events, None)
}

fn begin_append<'a>(
    env: Env<'a>,
    store: &StoreConnection,
    reference: Term<'a>,
    stream: Term<'a>,
    (expect, time): Appending<'a>,
    events: Term<'a>,
    budget: Option<Budget>,
) -> NifResult<Atom> {
    let (expectation, time) = (expectation(expect)?, limit(time)?);
    let Some(events) = new_events(events, budget)? else { return Ok(atoms::large()) };
    let stream = bytes("stream", stream)?;
    let connection = store.connection.clone();
    answer(env, reference, async move {
        match append(&connection, stream, expectation, events, time).await {
            Ok(appended) => Answer::Appended(appended),
            Err(failed) => Answer::NotAppended(failed),
        }
    })
}

/// The events as they are sent; `None` when copying them takes more than the budget.
fn new_events(events: Term<'_>, mut budget: Option<Budget>) -> NifResult<Option<Vec<NewEvent>>> {
    let takes = "a list of events as tuples of five";
    let list: ListIterator<'_> = argument::any("events", events, takes)?;
    let mut copied = Vec::new();
    for event in list {
        let event: Event<'_> = argument::any("events", event, takes)?;
        let size = [event.1, event.2, event.3, event.4].map(length).iter().sum();
        if budget.as_mut().is_some_and(|budget| !budget.affords(budget::copy(size))) {
            return Ok(None);
        }
        copied.push(new_event(event)?);
    }
    Ok(Some(copied))
}

/// How many bytes a binary has; what is none is refused where it is copied.
fn length(term: Term<'_>) -> usize {
    term.decode::<Binary<'_>>().map_or(0, |binary| binary.len())
}

fn expectation(expect: Term<'_>) -> NifResult<Expectation> {
    let named = [
        (atoms::any(), Expectation::Any),
        (atoms::no_stream(), Expectation::NoStream),
        (atoms::stream_exists(), Expectation::StreamExists),
    ];
    argument::one_of_or_revision("expect", expect, &named, Expectation::Revision)
}

/// nil for the connection's own deadline.
fn limit(time: Term<'_>) -> NifResult<Time> {
    if let Ok(millis @ 1..=LONGEST) = time.decode::<u64>() {
        return Ok(Time::Limited(Duration::from_millis(millis)));
    }
    match time.decode::<Atom>() {
        Ok(name) if name == atoms::nil() => Ok(Time::OfConnection),
        Ok(name) if name == atoms::infinity() => Ok(Time::Endless),
        _ => Err(argument::refused("timeout", time, "an integer from 1 to 2147483647, :infinity or nil")),
    }
}

/// What a call may take at most, in milliseconds: gRPC has eight digits for it.
const LONGEST: u64 = i32::MAX.unsigned_abs() as u64;

fn new_event((id, event_type, content_type, data, custom_metadata): Event<'_>) -> NifResult<NewEvent> {
    const TEXT: &str = "a string in UTF-8";
    let uuid = argument::any::<&str>("the id of an event", id, "a UUID as text")?;
    Ok(NewEvent {
        id: Uuid::parse_str(uuid)
            .map_err(|_| argument::refused("the id of an event", id, "a UUID as text"))?,
        event_type: argument::any("the type of an event", event_type, TEXT)?,
        content_type: argument::any("the content type of an event", content_type, TEXT)?,
        data: bytes("the data of an event", data)?,
        custom_metadata: bytes("the custom metadata of an event", custom_metadata)?,
    })
}

/// A binary's bytes, copied.
pub fn bytes(what: &str, got: Term<'_>) -> NifResult<Bytes> {
    let binary: Binary<'_> = argument::any(what, got, "a binary")?;
    Ok(Bytes::copy_from_slice(binary.as_slice()))
}

/// Runs the call on the runtime and tells the caller that there is an answer, whatever becomes of it.
fn answer(
    env: Env<'_>,
    reference: Term<'_>,
    call: impl Future<Output = Answer> + Send + 'static,
) -> NifResult<Atom> {
    let runtime = runtime::handle().map_err(|_| rustler::Error::Term(Box::new("no runtime")))?;
    let caller = env.pid();
    let kept = OwnedEnv::new();
    let reference = kept.save(reference);
    runtime.spawn(settle(call, move |outcome| {
        let answer = CallAnswer::new(match outcome {
            Outcome::Done(answer) => answer,
            Outcome::Panicked => Answer::Panicked,
            Outcome::Lost => Answer::Lost,
        });
        let sent = OwnedEnv::new()
            .send_and_clear(&caller, |env| (kept.run(|own| reference.load(own).in_env(env)), answer));
        // a caller that is gone needs no answer
        sent.ok();
    }));
    Ok(atoms::ok())
}
