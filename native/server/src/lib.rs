//! The gRPC services of an EventStoreDB over `store_core`.
