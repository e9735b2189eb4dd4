//! Channels to an EventStoreDB, and what is done over them: no BEAM terms.
//!
//! - [`Connection`]: how to reach a server; short calls share a channel, each long read has its own
//! - [`run`]: the task of a subscription, which feeds a [`Sink`]
//! - [`Read`], [`append`]: the short calls
//! - [`ReadyQueue`]: what has come and nobody has taken

mod append;
mod connection;
mod raw;
mod read;
mod ready;
mod requests;
mod subscription;

pub use append::{Appended, Expectation, NewEvent, append};
pub use connection::{Connection, Unsupported};
pub use read::read_stream;
pub use ready::{Frame, Limits, ReadyQueue, Taken};
pub use requests::{Direction, From, Read};
pub use subscription::{Batch, Counts, Report, Sink, Subscription, run};
