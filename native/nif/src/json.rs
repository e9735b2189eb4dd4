//! JSON to terms and terms to JSON, without a tree in between.

mod encode;

use rustler::{Atom, Binary, Encoder, Env, NifResult, Term};

use crate::account::limits::JSON_WRITTEN;
use crate::account::timed;
use crate::event_term::Builder;
use crate::sys;

mod atoms {
    rustler::atoms! { ok, error, large, __struct__ }
}

#[rustler::nif]
fn json_decode<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    let _timed = timed!(env, "json_decode");
    decoded(env, &text)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn json_decode_dirty<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    let _timed = timed!(dirty "json_decode_dirty");
    decoded(env, &text)
}

fn decoded<'a>(env: Env<'a>, text: &[u8]) -> Term<'a> {
    let mut builder = Builder::new(env);
    match terms::json::write(&mut builder, text) {
        Ok(()) => (atoms::ok(), builder.take()).encode(env),
        Err(error) => (atoms::error(), error.to_string()).encode(env),
    }
}

#[rustler::nif]
fn json_encode<'a>(env: Env<'a>, term: Term<'a>) -> NifResult<(Atom, Term<'a>)> {
    let _timed = timed!(env, "json_encode");
    Ok(encoded(env, term, JSON_WRITTEN))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn json_encode_dirty<'a>(env: Env<'a>, term: Term<'a>) -> NifResult<(Atom, Term<'a>)> {
    let _timed = timed!(dirty "json_encode_dirty");
    Ok(encoded(env, term, usize::MAX))
}

fn encoded<'a>(env: Env<'a>, term: Term<'a>, budget: usize) -> (Atom, Term<'a>) {
    match encode::encode(term, budget) {
        Ok(text) => (atoms::ok(), sys::binary(env, &text)),
        Err(encode::Stop::Large) => (atoms::error(), atoms::large().encode(env)),
        Err(encode::Stop::Unfit(message)) => (atoms::error(), message.encode(env)),
    }
}
