//! Arguments of NIFs: what is none of what a function takes is refused by name.
//!
//! The Elixir side checks what its callers give, in their own words. What slips through ends here, as an
//! `ArgumentError` that says what it is about; nothing unknown is ever taken for something known.

use std::ops::RangeInclusive;

use rustler::{Atom, Decoder, Encoder, Env, NifResult, Term};

mod atoms {
    rustler::atoms! {
        __struct__, __exception__, message, argument_error = "Elixir.ArgumentError",
    }
}

/// The largest revision, and log position, that a server takes.
const LAST_REVISION: u64 = i64::MAX.unsigned_abs();
/// So much of a value is shown.
const SHOWN: usize = 200;

/// An Elixir exception.
struct ArgumentError(String);

impl Encoder for ArgumentError {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let pairs = [
            (atoms::__struct__(), atoms::argument_error().encode(env)),
            (atoms::__exception__(), true.encode(env)),
            (atoms::message(), self.0.encode(env)),
        ];
        Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| atoms::argument_error().encode(env))
    }
}

/// The error that says that `what` is `got` and what it takes.
pub fn refused(what: &str, got: Term<'_>, takes: &str) -> rustler::Error {
    let got: String = shown(got).chars().take(SHOWN).collect();
    rustler::Error::RaiseTerm(Box::new(ArgumentError(format!("{what} is {got}; it takes {takes}"))))
}

/// Whatever decodes itself.
pub fn any<'a, T: Decoder<'a>>(what: &str, got: Term<'a>, takes: &str) -> NifResult<T> {
    got.decode().map_err(|_| refused(what, got, takes))
}

/// One of some atoms.
pub fn one_of<T: Copy>(what: &str, got: Term<'_>, choices: &[(Atom, T)]) -> NifResult<T> {
    choice(got, choices).ok_or_else(|| refused(what, got, &names(got.get_env(), choices)))
}

/// One of some atoms, or a revision.
pub fn one_of_or_revision<T: Copy>(
    what: &str,
    got: Term<'_>,
    choices: &[(Atom, T)],
    revision: impl FnOnce(u64) -> T,
) -> NifResult<T> {
    match got.decode::<u64>() {
        Ok(number @ ..=LAST_REVISION) => Ok(revision(number)),
        _ => choice(got, choices).ok_or_else(|| {
            let names = names(got.get_env(), choices);
            refused(what, got, &format!("{names}, an integer from 0 to {LAST_REVISION}"))
        }),
    }
}

/// An integer within a range.
pub fn number(what: &str, got: Term<'_>, range: RangeInclusive<u64>) -> NifResult<u64> {
    let number = got.decode::<u64>().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| refused(what, got, &format!("an integer from {} to {}", range.start(), range.end())))
}

/// The same for sizes in memory.
pub fn size(what: &str, got: Term<'_>, range: RangeInclusive<u64>) -> NifResult<usize> {
    let number = number(what, got, range)?;
    usize::try_from(number).map_err(|_| refused(what, got, "a smaller one on this machine"))
}

fn choice<T: Copy>(got: Term<'_>, choices: &[(Atom, T)]) -> Option<T> {
    let got = got.decode::<Atom>().ok()?;
    choices.iter().find(|(name, _)| *name == got).map(|(_, choice)| *choice)
}

fn names<T>(env: Env<'_>, choices: &[(Atom, T)]) -> String {
    choices.iter().map(|(name, _)| shown(name.to_term(env))).collect::<Vec<_>>().join(", ")
}

/// As Elixir writes atoms, and as Erlang writes the rest.
fn shown(term: Term<'_>) -> String {
    match term.atom_to_string() {
        Ok(name) if ["nil", "true", "false"].contains(&name.as_str()) => name,
        Ok(name) => format!(":{name}"),
        Err(_) => format!("{term:?}"),
    }
}
