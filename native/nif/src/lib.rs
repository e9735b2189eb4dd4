//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the one tokio runtime
//! - `server`: the embedded server
//! - `stage`: the dispatcher and the buffer of a producer of terms
//! - `sys`: what rustler lacks, with the only `unsafe`
//! - `timeslice`: telling the scheduler how long a call took
//! - `frame`: the messages of a batch
//! - `event_term`: `%Penstock.Event{}` from a message
//! - `json`: JSON to terms and back

#[allow(dead_code)]
mod event_term;
#[allow(dead_code)]
mod frame;
mod json;
mod runtime;
mod server;
mod stage;
#[allow(dead_code)]
mod sys;
mod timeslice;

rustler::init!("Elixir.Penstock.Native");
