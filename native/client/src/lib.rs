//! Channels to an EventStoreDB, and the tasks that read from it.
