//! Whom a stage's events are for, as a term.

use rustler::{Decoder, Encoder, Env, Error, NifResult, Term};
use stage_core::Recipient;

use super::atoms;

/// Whom a deal is for, as a term: the number of a subscriber, `everyone`, or `split`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct To(pub Recipient<u64>);

impl<'a> Decoder<'a> for To {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match term.decode() {
            Ok(id) => Ok(Self(Recipient::One(id))),
            Err(_) if atoms::everyone() == term => Ok(Self(Recipient::Everyone)),
            Err(_) if atoms::split() == term => Ok(Self(Recipient::Split)),
            Err(_) => Err(Error::BadArg),
        }
    }
}

impl Encoder for To {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self.0 {
            Recipient::One(id) => id.encode(env),
            Recipient::Everyone => atoms::everyone().encode(env),
            Recipient::Split => atoms::split().encode(env),
        }
    }
}
