//! How servers are connected to: encrypted, as whom, and to which of a cluster.

#![allow(clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod credentials;
mod tls;
