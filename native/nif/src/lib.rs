//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the one tokio runtime
//! - `server`: the embedded server

mod runtime;
mod server;

rustler::init!("Elixir.Penstock.Native");
