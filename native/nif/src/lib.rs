//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the one tokio runtime
//! - `connection`: appends and reads
//! - `linear`: the linear subscription
//! - `error`: errors as terms

mod connection;
mod error;
mod linear;
mod runtime;

rustler::init!("Elixir.Penstock.Native");
