//! The gRPC services of an EventStoreDB over `store_core`, in the process that wants one.
//!
//! - `advertise`, `tls`, `options`: where a server is found, with what it encrypts, and what it is started with
//! - `allowance`, `panics`, `fault`, `time`: what a call may take, what becomes of one that goes wrong, errors as clients
//!   parse them; the time
//! - `orders`, `injection`: what a server is told while it runs; what calls are answered on purpose
//! - `watchers`, `committer`, `disk`, `engine`: the store as many tasks share it, and how they hear of what is new
//! - `caller`, `node`: what every method is called with
//! - `messages`, `answers`, `body`, `ending`: what methods answer, to bytes
//! - `codec`, `requests`, `calls`: from the body of a call to a method, by its kind
//! - `proposal`, `target`, `append`, `batch_answer`, `batch`, `delete`: methods that write
//! - `form`, `log`, `filter`, `judge`, `reading`, `subscription`, `filtered`, `read`: the method that reads
//! - `features`, `gossip`, `groups`, `operations`, `web`: what clients ask beside
//! - `table`, `route`: every method there is; from a request to its method
//! - `idle`, `connections`, `control`, `server`: listening, and from the start to the end
//!
//! Modules depend on those named before them.

mod advertise;
mod allowance;
mod answers;
mod append;
mod batch;
mod batch_answer;
mod body;
mod caller;
mod calls;
mod codec;
mod committer;
mod connections;
mod control;
mod delete;
mod disk;
mod ending;
mod engine;
mod fault;
mod features;
mod filter;
mod filtered;
mod form;
mod gossip;
mod groups;
mod idle;
mod injection;
mod judge;
mod log;
mod messages;
mod node;
mod operations;
mod options;
mod orders;
mod panics;
mod proposal;
mod read;
mod reading;
mod requests;
mod route;
mod server;
mod subscription;
mod table;
mod target;
mod time;
mod tls;
mod watchers;
mod web;

pub use advertise::{Advertised, NotAdvertised};
pub use control::{Control, NotReset, UnknownMethod};
pub use injection::{Injection, Pending};
pub use options::{Options, StartError, Storage};
pub use server::{Ended, Server};
pub use store_disk::{Finding, Fsync, OpenError, SEGMENT, SEGMENTS, check};
pub use tls::{SelfMade, Tls, TlsError};
