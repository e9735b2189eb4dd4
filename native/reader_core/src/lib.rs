//! The whole life of a subscription as one deterministic machine: no sockets, no tasks, no clock.
//!
//! - [`Reader`]: told what happens ([`Input`], events), answers what is to be done ([`Effect`])
//! - [`Target`]: a stream, or the log of all streams, whole or through a [`Filter`]
//! - [`Backoff`]: how long to wait before the next attempt
//!
//! Time is an argument and chance has a seed, so a whole life of a subscription can be played in a test.

mod backoff;
mod epoch;
mod messages;
mod phase;
mod position;
mod reader;
mod settings;
mod target;

pub use backoff::Backoff;
pub use epoch::Epoch;
pub use messages::{Answer, Beyond, Cause, Counts, Effect, Failure, Input, Report, State, Verdict};
pub use position::{LARGEST, LogPosition, Place, Position};
pub use reader::Reader;
pub use settings::{OnBeyond, Settings};
pub use target::{Filter, InvalidFilter, Pattern, Start, Subject, Target};
