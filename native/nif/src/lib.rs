//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the tokio runtimes, one for servers and one for everything else
//! - `sys`: what rustler lacks, with the only `unsafe`
//! - `account`: how long calls take, and may take
//! - `frame`: the messages of a batch
//! - `event_term`: where terms are made, and `%Penstock.Event{}` from a message
//! - `json`: JSON to terms and back
//! - `argument`: what is refused by name
//! - `error`: errors as terms
//! - `connection`: appends and reads
//! - `producer`: what every native producer is
//! - `linear`: the linear subscription, which is one
//! - `deferred_drop`: dropping what is large
//! - `dispatcher`: dispatchers as terms
//! - `stage`: the dispatcher and the buffer of a producer of terms
//! - `server`: the embedded server

mod account;
mod argument;
mod connection;
mod deferred_drop;
mod dispatcher;
mod error;
mod event_term;
mod frame;
mod json;
mod linear;
mod log;
mod producer;
mod runtime;
mod server;
mod stage;
mod sys;

rustler::init!("Elixir.Penstock.Native", load = load);

fn load(_env: rustler::Env<'_>, _info: rustler::Term<'_>) -> bool {
    sys::join_freed_at_once();
    deferred_drop::start();
    true
}
