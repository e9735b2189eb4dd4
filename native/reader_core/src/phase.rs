//! Where an attempt stands.

use std::time::Duration;

/// The steps of an attempt, and until when each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    New,
    Connecting { until: Duration },
    Locating { until: Duration },
    Subscribing { until: Duration },
    Open(Search),
    BackingOff { until: Duration },
    Stopped,
}

/// The search for the end beside a subscription that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    NotYet,
    End { until: Duration },
    Deletion { until: Duration },
    Over,
}

/// What is known of the end, as seen from the position of the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing that matters: there is no position, or something after it has come.
    Passed,
    /// Something after the position is still to come.
    Awaited,
}

impl Phase {
    /// When it is over by itself; `None`: it waits for an answer, or is over.
    pub(crate) fn until(&self) -> Option<Duration> {
        match self {
            Phase::New => Some(Duration::ZERO),
            Phase::Connecting { until }
            | Phase::Locating { until }
            | Phase::Subscribing { until }
            | Phase::BackingOff { until }
            | Phase::Open(Search::End { until } | Search::Deletion { until }) => Some(*until),
            Phase::Open(Search::NotYet | Search::Over) | Phase::Stopped => None,
        }
    }
}
