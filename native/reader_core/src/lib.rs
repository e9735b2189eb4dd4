//! A subscription as a state machine: no sockets, no tasks, no clock.
//!
//! - [`Reader`]: what to do next, and what to do with each event; driven by whoever owns the connection
//! - [`Standing`]: what of that is true for the consumers, who lag behind
//! - [`Backoff`]: how long to wait before the next attempt
//!
//! Time and chance are arguments, so a whole life of a subscription can be played in a test.

mod backoff;
mod reader;
mod standing;

pub use backoff::Backoff;
pub use reader::{Beyond, Fate, Progress, Reader, Start, State, Step, Verdict};
pub use standing::{Epoch, Standing};
