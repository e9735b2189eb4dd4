//! A subscription as a state machine: no sockets, no tasks, no clock.
//!
//! - [`Reader`]: what to do next, and what to do with each event; driven by whoever owns the connection
//! - [`Backoff`]: how long to wait before the next attempt
//!
//! Time and chance are arguments, so a whole life of a subscription can be played in a test.

mod backoff;
mod reader;

pub use backoff::Backoff;
pub use reader::{Fate, Progress, Reader, Start, State, Step, Verdict};
