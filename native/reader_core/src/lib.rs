//! A subscription as a state machine without sockets and without a clock.
