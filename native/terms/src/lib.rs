//! What an event, a time and a JSON value are as terms, said once and written to any [`TermSink`].
//!
//! It decides what a term looks like and nothing of how it is made: it knows no BEAM and no external format.
//!
//! - `word`: the atoms, and the maps with fixed keys
//! - `calendar`: a server's ticks as calendar and clock
//! - `sink`: what a place for terms must offer
//! - `event`: an event as it was read, and its term
//! - `time`: the term of a time
//! - `json`: JSON text to terms
//! - `integer`: integers beyond 64 bits

mod calendar;
pub mod event;
pub mod integer;
pub mod json;
pub mod sink;
pub mod time;
pub mod word;

pub use sink::TermSink;
