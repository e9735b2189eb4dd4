//! What the server answers, and what it survives, as a client on the wire sees it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod deadlines;
mod filters;
mod groups;
mod log_start;
mod quiet;
mod refusals;

use server::{Options, Server, Storage};

/// A server in memory, and a client of it.
pub async fn start() -> (Server, common::Client) {
    let options = Options::new("127.0.0.1:0".parse().unwrap(), Storage::Memory);
    let server = Server::start(options).await.unwrap();
    let client = common::client(&server.local_addr().to_string()).await;
    (server, client)
}
