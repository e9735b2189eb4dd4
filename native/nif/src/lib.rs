//! The boundary to the BEAM: decodes arguments, submits work, encodes results.
//!
//! - `runtime`: the one tokio runtime

mod runtime;

rustler::init!("Elixir.Penstock.Native");
