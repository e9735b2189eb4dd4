//! JSON to terms and terms to JSON, without a tree in between.

mod decode;
mod encode;
mod integer;

use std::time::Instant;

use rustler::{Atom, Binary, Encoder, Env, NifResult, Term};

use crate::sys;
use crate::timeslice;

pub use decode::decode;

mod atoms {
    rustler::atoms! { ok, error, large, __struct__ }
}

/// What an ordinary call writes at most, in bytes and terms; then it gives up for the dirty variant.
const ENCODE_BUDGET: usize = 32 * 1024;

#[rustler::nif]
fn json_decode<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    decoded(env, &text)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn json_decode_dirty<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    decoded(env, &text)
}

fn decoded<'a>(env: Env<'a>, text: &[u8]) -> Term<'a> {
    let started = Instant::now();
    let answer = match decode(env, text) {
        Ok(term) => (atoms::ok(), term).encode(env),
        Err(error) => (atoms::error(), error.to_string()).encode(env),
    };
    timeslice::report(env, started);
    answer
}

#[rustler::nif]
fn json_encode<'a>(env: Env<'a>, term: Term<'a>) -> NifResult<(Atom, Term<'a>)> {
    Ok(encoded(env, term, ENCODE_BUDGET))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn json_encode_dirty<'a>(env: Env<'a>, term: Term<'a>) -> NifResult<(Atom, Term<'a>)> {
    Ok(encoded(env, term, usize::MAX))
}

fn encoded<'a>(env: Env<'a>, term: Term<'a>, budget: usize) -> (Atom, Term<'a>) {
    let started = Instant::now();
    let answer = match encode::encode(term, budget) {
        Ok(text) => (atoms::ok(), sys::binary(env, &text)),
        Err(encode::Stop::Large) => (atoms::error(), atoms::large().encode(env)),
        Err(encode::Stop::Unfit(message)) => (atoms::error(), message.encode(env)),
    };
    timeslice::report(env, started);
    answer
}
