//! What a subscription is to do.

use std::time::Duration;

use crate::Backoff;
use crate::target::Target;

/// What a subscription is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is subscribed to, and from where.
    pub target: Target,
    /// What to do when that ends before the position.
    pub on_beyond: OnBeyond,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// How long the server may take for each step: to be connected to, to confirm the subscription, to say where the
    /// stream ends.
    pub patience: Duration,
}

/// What to do when what is subscribed to ends before the position that its subscription goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBeyond {
    /// Wait until it has grown past it.
    Wait,
    /// Stop, as what is there is another stream than the one that was read.
    Stop,
}
