//! The embedded event store over a storage trait: no sockets, no clock, no BEAM.
