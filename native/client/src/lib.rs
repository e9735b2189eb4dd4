//! Channels to an EventStoreDB, and what is done over them: no BEAM terms.
//!
//! - [`Connection`]: which node of a server is used, made with [`Settings`]; short calls share a channel, each long read
//!   has its own
//! - [`run`]: the task of a subscription, which feeds a [`Sink`]
//! - [`Read`], [`append`], [`delete`]: the short calls
//! - [`settle`]: an answer to whoever waits, whatever becomes of a call

mod actor;
mod append;
mod calls;
mod choice;
mod connection;
mod delete;
mod discovery;
mod gossip;
mod handshake;
mod hello;
mod locate;
mod node;
mod owed;
mod raw;
mod read;
mod requests;
mod road;
mod settings;
mod sink;
mod spoken;
mod subscription;
mod tls;
mod unusable;
mod waits;

pub use append::{Appended, Expectation, NewEvent, Time, WriteError, append};
pub use calls::MAX_MESSAGE_SIZE;
pub use connection::Connection;
pub use delete::{Deletion, delete};
pub use owed::{Outcome, settle};
pub use read::{Page, ReadLimits, read_events};
pub use reader_core::{Counts, Filter, InvalidFilter, LogPosition, OnBeyond, Pattern, Subject};
pub use requests::{Direction, From, Read, What};
pub use settings::{Credentials, Settings};
pub use sink::{Batch, Report, Sink};
pub use subscription::{PATIENCE, Subscription, run};
pub use unusable::Unusable;
