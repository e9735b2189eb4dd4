//! Demand arithmetic, dispatchers and buffers of a stage: no BEAM, no tokio, no clock.
