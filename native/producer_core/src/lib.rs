//! A producer of events that live in Rust: no BEAM, no tokio, no clock.
//!
//! - [`Producer`]: what has come and was not given out, who waits for it, and what is to be done: deliver, tell what
//!   was reached, wait, go on, or go on where a long call hurts nobody
//! - [`ReadyQueue`]: what has come, with marks in between, and when there is room for more
//! - [`Standing`]: what a producer is doing, as its consumers see it, who lag behind
//! - [`Budget`]: what a call may cost
//! - [`spread`]: a number for a partition, from any bytes
//!
//! Who owns it brings the events and the connection, does the sending, and measures; what is decided is decided here.
//! What a batch of events is, is the business of whoever implements [`Frame`].

mod budget;
mod deal;
mod hash;
mod producer;
mod queue;
mod ready;
mod standing;

pub use budget::{Budget, Cost};
pub use deal::{Deal, Portion, Rest};
pub use hash::spread;
pub use producer::{Happened, Key, Producer, Remains, Settings};
pub use ready::{Frame, Limits, ReadyQueue, Taken};
pub use standing::{Activity, Epoch, Standing};
