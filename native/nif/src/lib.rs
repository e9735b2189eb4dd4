//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the one tokio runtime
//! - `server`: the embedded server
//! - `stage`: the dispatcher and the buffer of a producer of terms

mod runtime;
mod server;
mod stage;

rustler::init!("Elixir.Penstock.Native");
