//! What travels between Penstock and an EventStoreDB: the gRPC messages.
//!
//! Protocol facts only: no sockets, no tasks. Messages are generated from the files in `proto/`.

/// The generated messages, clients and services, in the modules of their packages.
#[allow(missing_docs, clippy::all, clippy::indexing_slicing, clippy::unwrap_used)]
mod generated {
    tonic::include_proto!("protos");
}

pub use generated::event_store::client as proto;
pub use generated::google;
