//! `%DateTime{}` terms from a server's ticks.

use rustler::{Encoder, Env, Term};
use wire::created::Created;

use super::keys::Keys;
use crate::sys;

/// Makes the terms, and keeps those that are the same for every time.
pub struct Clock<'a> {
    env: Env<'a>,
    zone: Term<'a>,
    abbreviation: Term<'a>,
    zero: Term<'a>,
    last: Option<(Created, Term<'a>)>,
}

impl<'a> Clock<'a> {
    pub fn new(env: Env<'a>) -> Self {
        let (zone, abbreviation) = (sys::binary(env, b"Etc/UTC"), sys::binary(env, b"UTC"));
        Self { env, zone, abbreviation, zero: 0.encode(env), last: None }
    }

    /// The time at so many ticks of 100 ns since 1970, in whole microseconds.
    pub fn date_time(&mut self, keys: &Keys, ticks: u64) -> Term<'a> {
        let created = Created::from_ticks(ticks);
        match self.last {
            Some((last, term)) if last == created => term,
            _ => {
                let term = self.built(keys, created);
                self.last = Some((created, term));
                term
            }
        }
    }

    fn built(&self, keys: &Keys, created: Created) -> Term<'a> {
        let env = self.env;
        let values = [
            keys.date_time_module.to_term(env),
            keys.iso.to_term(env),
            created.day.encode(env),
            created.hour.encode(env),
            (created.microsecond, 6).encode(env),
            created.minute.encode(env),
            created.month.encode(env),
            created.second.encode(env),
            self.zero,
            self.zone,
            self.zero,
            created.year.encode(env),
            self.abbreviation,
        ];
        sys::record(env, &keys.date_time, values)
    }
}
