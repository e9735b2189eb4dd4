//! Errors as the BEAM sees them: `{reason, message, retry?, details}`.

use std::io;

use client::WriteError;
use rustler::{Atom, Encoder, Env, Term};
use wire::error::{At, Error, Expected, Reason, Which};

use crate::account::timed;

mod atoms {
    rustler::atoms! {
        stream, expected, actual, maximum, host, port, code, any, no_stream, stream_exists, size, revision,
        after_revision, after_position, before_revision, before_position, position, last_revision, nil, may_have_been_written,
    }
}

/// All reasons, for `Penstock.Error` to be compared with.
#[rustler::nif]
fn error_reasons(env: Env<'_>) -> Vec<Term<'_>> {
    let _timed = timed!(env, "error_reasons");
    Reason::ALL.iter().map(|reason| name(env, *reason)).collect()
}

/// A reason as an atom.
fn name(env: Env<'_>, reason: Reason) -> Term<'_> {
    // a name that is no atom is a fault of this library, and shows itself as text
    Atom::from_str(env, reason.name()).map_or_else(|_| reason.name().encode(env), |atom| atom.encode(env))
}

/// The term of an error of a call.
pub fn term<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    of(env, error.kind(), &error.to_string(), error.retryable(), &details(env, error))
}

/// The term of an error of an append.
pub fn append_term<'a>(env: Env<'a>, failed: &WriteError) -> Term<'a> {
    let then =
        "the events may have been written: to append the same events, with the same ids, again finds out";
    write_term(env, failed, then)
}

/// The term of an error of a deletion.
pub fn deletion_term<'a>(env: Env<'a>, failed: &WriteError) -> Term<'a> {
    write_term(env, failed, "the stream may have been deleted")
}

/// `then` says what may have happened all the same.
fn write_term<'a>(env: Env<'a>, failed: &WriteError, then: &str) -> Term<'a> {
    if !failed.may_be_written {
        return term(env, &failed.error);
    }
    let error = &failed.error;
    let message = format!("{error}; {then}");
    let mut details = details(env, error);
    details.push((atoms::may_have_been_written(), true.encode(env)));
    of(env, error.kind(), &message, error.retryable(), &details)
}

/// The term of any error.
pub fn of<'a>(
    env: Env<'a>,
    reason: Reason,
    message: &str,
    retry: bool,
    details: &[(Atom, Term<'a>)],
) -> Term<'a> {
    let details = Term::map_from_pairs(env, details).unwrap_or_else(|_| Term::map_new(env));
    (name(env, reason), message, retry, details).encode(env)
}

/// The runtime could not be started.
pub fn no_runtime<'a>(env: Env<'a>, kind: io::ErrorKind) -> Term<'a> {
    of(env, Reason::Internal, &format!("the runtime's threads could not be started: {kind}"), true, &[])
}

/// Something panicked on the way to an answer.
pub fn panicked<'a>(env: Env<'a>, what: &str) -> Term<'a> {
    of(env, Reason::Internal, &format!("{what} panicked"), false, &[])
}

/// A call was given up without an answer: the runtime ends.
pub fn lost(env: Env<'_>) -> Term<'_> {
    of(env, Reason::Internal, "the call was given up, as the library is shut down", true, &[])
}

/// A connection string that cannot be read, or names what cannot be used.
pub fn connection_string<'a>(env: Env<'a>, message: &str) -> Term<'a> {
    of(env, Reason::InvalidConnectionString, message, false, &[])
}

/// A read of a stream that does not exist.
pub fn stream_not_found<'a>(env: Env<'a>, name: &str) -> Term<'a> {
    let message = format!("the stream {name:?} does not exist");
    of(env, Reason::StreamNotFound, &message, true, &[(atoms::stream(), name.encode(env))])
}

fn details<'a>(env: Env<'a>, error: &Error) -> Vec<(Atom, Term<'a>)> {
    match error {
        Error::StreamDeleted { stream } => vec![(atoms::stream(), stream.encode(env))],
        Error::WrongExpectedVersion { stream, expected, current } => vec![
            (atoms::stream(), stream.encode(env)),
            (atoms::expected(), expectation(env, *expected)),
            (
                atoms::actual(),
                current.map_or_else(|| atoms::no_stream().encode(env), |revision| revision.encode(env)),
            ),
        ],
        Error::MaximumAppendSizeExceeded { max: Some(max) } => vec![(atoms::maximum(), max.encode(env))],
        Error::NotLeader { host, port } => {
            vec![(atoms::host(), host.encode(env)), (atoms::port(), port.encode(env))]
        }
        Error::Server { code, .. } => vec![(atoms::code(), (*code as i32).encode(env))],
        Error::Undecodable { what, .. } => which(env, *what),
        Error::TooLarge { what, size, limit } => {
            let mut details = which(env, *what);
            details.extend([(atoms::size(), size.encode(env)), (atoms::maximum(), limit.encode(env))]);
            details
        }
        Error::PositionBeyondEnd { stream, position, last } => vec![
            (atoms::stream(), stream.encode(env)),
            (atoms::position(), at(env, *position)),
            (atoms::last_revision(), last.map(|last| at(env, last)).encode(env)),
        ],
        _ => Vec::new(),
    }
}

fn which(env: Env<'_>, which: Which) -> Vec<(Atom, Term<'_>)> {
    match which {
        Which::Event(revision) => vec![(atoms::revision(), revision.encode(env))],
        Which::After(revision) => vec![(atoms::after_revision(), revision.encode(env))],
        Which::AfterLog { commit, prepare } => {
            vec![(atoms::after_position(), at(env, At::Log { commit, prepare }))]
        }
        Which::Before(revision) => vec![(atoms::before_revision(), revision.encode(env))],
        Which::BeforeLog { commit, prepare } => {
            vec![(atoms::before_position(), at(env, At::Log { commit, prepare }))]
        }
        Which::First => vec![(atoms::after_revision(), atoms::nil().encode(env))],
        Which::Answer => Vec::new(),
    }
}

/// A revision, or `{commit, prepare}`.
fn at(env: Env<'_>, at: At) -> Term<'_> {
    match at {
        At::Revision(revision) => revision.encode(env),
        At::Log { commit, prepare } => (commit, prepare).encode(env),
    }
}

fn expectation(env: Env<'_>, expected: Expected) -> Term<'_> {
    match expected {
        Expected::Any => atoms::any().encode(env),
        Expected::NoStream => atoms::no_stream().encode(env),
        Expected::StreamExists => atoms::stream_exists().encode(env),
        Expected::Revision(revision) => revision.encode(env),
    }
}
