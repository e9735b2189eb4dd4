//! The gRPC services of an EventStoreDB over `store_core`, in the process that wants one.
//!
//! - `allowance`, `panics`, `fault`, `time`: what a call may take, what becomes of one that goes wrong, errors as clients
//!   parse them; the time
//! - `orders`, `injection`: what a server is told while it runs; what calls are answered on purpose
//! - `watchers`, `committer`, `engine`: the store as many tasks share it, and how they hear of what is new
//! - `advertise`, `tls`, `cluster`, `options`, `disk`: where a server is found, with what it encrypts, with whom it shares
//!   what is written, what it is started with; its folder
//! - `plain`, `messages`, `answers`, `body`, `ending`: what is answered, to bytes
//! - `caller`, `passwords`, `accounts`, `access`: who calls, and what they may do
//! - `troubles`, `node`: what befalls calls on purpose; what every method is called with
//! - `codec`, `requests`, `calls`: from the body of a call to a method, by its kind
//! - `proposal`, `target`, `append`, `batch_answer`, `batch`, `delete`: methods that write
//! - `form`, `log`, `filter`, `judge`, `reading`, `subscription`, `filtered`, `read`: the method that reads
//! - `projections`: streams of links that follow from what is appended
//! - `features`, `gossip`, `groups`, `operations`, `monitoring`, `users`, `atom`, `web`: what clients ask beside
//! - `table`, `route`: every method there is; from a request to its method
//! - `idle`, `connections`, `control`, `server`: listening, and from the start to the end
//!
//! Modules depend on those named before them.

mod access;
mod accounts;
mod advertise;
mod allowance;
mod answers;
mod append;
mod atom;
mod batch;
mod batch_answer;
mod body;
mod caller;
mod calls;
mod cluster;
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
mod monitoring;
mod node;
mod operations;
mod options;
mod orders;
mod panics;
mod passwords;
mod plain;
mod projections;
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
mod troubles;
mod users;
mod watchers;
mod web;

pub use advertise::{Advertised, NotAdvertised};
pub use cluster::Cluster;
pub use control::{Control, NotReset, UnknownMethod};
pub use injection::{Injection, Pending};
pub use options::{Options, StartError, Storage};
pub use server::{Ended, Server};
pub use store_disk::{Finding, Fsync, OpenError, SEGMENT, SEGMENTS, check};
pub use tls::{SelfMade, Tls, TlsError};
pub use troubles::Trouble;
