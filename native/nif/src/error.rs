//! Errors as the BEAM sees them: `{reason, message, retry?, details}`.

use std::io;

use rustler::{Atom, Encoder, Env, Term};
use wire::error::{Error, Expected};

mod atoms {
    rustler::atoms! {
        internal, invalid_connection_string, unsupported, stream_not_found,
        stream, expected, actual, maximum, host, port, code, any, no_stream, stream_exists
    }
}

/// The term of an error of a call.
pub fn term<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    let reason = Atom::from_str(env, error.reason()).unwrap_or_else(|_| atoms::internal());
    of(env, reason, &error.to_string(), error.retryable(), &details(env, error))
}

/// The term of any error.
pub fn of<'a>(
    env: Env<'a>,
    reason: Atom,
    message: &str,
    retry: bool,
    details: &[(Atom, Term<'a>)],
) -> Term<'a> {
    let details = Term::map_from_pairs(env, details).unwrap_or_else(|_| Term::map_new(env));
    (reason, message, retry, details).encode(env)
}

/// The runtime could not be started.
pub fn no_runtime<'a>(env: Env<'a>, kind: io::ErrorKind) -> Term<'a> {
    of(env, atoms::internal(), &format!("the runtime's threads could not be started: {kind}"), true, &[])
}

/// Something panicked on the way to an answer.
pub fn panicked<'a>(env: Env<'a>, what: &str) -> Term<'a> {
    of(env, atoms::internal(), &format!("{what} panicked"), false, &[])
}

/// A connection string that cannot be read.
pub fn connection_string<'a>(env: Env<'a>, message: &str) -> Term<'a> {
    of(env, atoms::invalid_connection_string(), message, false, &[])
}

/// Something that is not there yet.
pub fn unsupported<'a>(env: Env<'a>, message: &str) -> Term<'a> {
    of(env, atoms::unsupported(), message, false, &[])
}

/// A read of a stream that does not exist.
pub fn stream_not_found<'a>(env: Env<'a>, name: &str) -> Term<'a> {
    let message = format!("the stream {name:?} does not exist");
    of(env, atoms::stream_not_found(), &message, true, &[(atoms::stream(), name.encode(env))])
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
        _ => Vec::new(),
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
