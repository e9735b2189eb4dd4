//! What the server answers, and what it survives, as a client on the wire sees it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod clusters;
mod deadlines;
mod filters;
mod groups;
mod log_start;
mod projections;
mod quiet;
mod refusals;
mod secure;
mod troubles;
mod web;

use server::{Options, Server, Storage};

/// Options of a server in memory, on a free port.
pub fn options() -> Options {
    Options::new("127.0.0.1:0".parse().unwrap(), Storage::Memory)
}

/// A server that is started so, and a client of it.
pub async fn start_with(options: Options) -> (Server, common::Client) {
    let server = Server::start(options).await.unwrap();
    let client = common::client(&server.local_addr().to_string()).await;
    (server, client)
}

/// A server in memory, and a client of it.
pub async fn start() -> (Server, common::Client) {
    start_with(options()).await
}
