//! The gRPC services of an EventStoreDB over `store_core`, in the process that wants one.
//!
//! - `server`, `connections`, `idle`, `advertise`: starting, listening, being found, ending
//! - `engine`: the store as many tasks share it, and how they hear of what is new
//! - `disk`, `committer`: storage in a folder, and the thread that writes to it
//! - `watchers`, `time`: who waits for something new; the time
//! - `route`, `calls`, `requests`, `codec`, `messages`, `body`, `ending`: from an HTTP request to a method, and its
//!   answers to bytes
//! - `allowance`, `panics`: what a call may take, and what becomes of one that goes wrong
//! - `append`, `batch`, `batch_answer`, `delete`: methods that write; `proposal` judges what they are sent
//! - `read`, `reading`, `subscription`, `log`, `filter`, `judge`, `filtered`: the method that reads
//! - `features`, `gossip`, `groups`, `operations`, `web`: what clients ask beside
//! - `fault`: errors as clients parse them

mod advertise;
mod allowance;
mod append;
mod batch;
mod batch_answer;
mod body;
mod calls;
mod codec;
mod committer;
mod connections;
mod delete;
mod disk;
mod ending;
mod engine;
mod fault;
mod features;
mod filter;
mod filtered;
mod gossip;
mod groups;
mod idle;
mod judge;
mod log;
mod messages;
mod operations;
mod panics;
mod proposal;
mod read;
mod reading;
mod requests;
mod route;
mod server;
mod subscription;
mod time;
mod watchers;
mod web;

pub use advertise::{Advertised, NotAdvertised};
pub use server::{Ended, Options, Server, StartError, Storage};
pub use store_disk::{Finding, Fsync, OpenError, SEGMENT, SEGMENTS, check};
