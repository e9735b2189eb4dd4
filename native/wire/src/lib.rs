//! What travels between Penstock and an EventStoreDB: the gRPC messages.
//!
//! Protocol facts only: no sockets, no tasks. Messages are generated from the files in `proto/`.
//!
//! - `recorded`: a message of a read, borrowed from its bytes; the whole of an event, or its place alone
//! - `connection_string`: what a connection string says
//! - `error`: what a refusal means

pub mod connection_string;
pub mod error;
mod fields;
pub mod recorded;

/// The generated messages, clients and services, in the modules of their packages.
#[allow(missing_docs, clippy::all, clippy::indexing_slicing, clippy::unwrap_used)]
mod generated {
    tonic::include_proto!("protos");
}

pub use generated::event_store::client as proto;
pub use generated::google;
