//! Where a subscription's events go, and what else it tells.

use std::time::Duration;

use bytes::Bytes;
use reader_core::{Beyond, Epoch, State};
use wire::error::Error;

/// Events in the form in which they came, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// One `ReadResp` with an event each.
    pub events: Vec<Bytes>,
    /// How many bytes that is.
    pub bytes: usize,
}

/// What a subscription counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many times it was confirmed again.
    pub reconnects: u64,
    /// Events dropped because they had come before.
    pub stale: u64,
    /// Messages of a kind that is not known.
    pub unknown: u64,
}

/// What happens to a subscription, besides events.
#[derive(Debug, Clone)]
pub enum Report {
    /// An attempt to connect begins. True at once.
    Connecting,
    /// The end was found, where it begins; `None` when there is no such stream. True at once.
    Located(Option<u64>),
    /// The server has taken it, to go on after this revision. True at once, until it is dropped.
    Taken {
        /// Which connection this is.
        epoch: Epoch,
        /// The revision; `None` for the beginning.
        after: Option<u64>,
    },
    /// It is reading, or has caught up: true once the events before it are emitted, if its connection still stands.
    State(Epoch, State),
    /// The stream ends before its position, or, as is known now, does not. True at once.
    Beyond(Option<Beyond>),
    /// The call ended, or could not be made. True at once.
    Dropped {
        /// Why.
        cause: Error,
        /// When the next attempt begins.
        wait: Duration,
        /// Whether the server had taken it on this connection.
        was_taken: bool,
    },
    /// It is over, as asking again would get the same answer: true once the events before it are emitted.
    Stopped(Error),
}

/// Where a subscription's events go.
pub trait Sink: Send + Sync + 'static {
    /// Takes a batch, whether or not there is room.
    fn put(&self, batch: Batch);
    /// Takes a report, in order with the batches.
    fn report(&self, report: Report);
    /// Takes the counts after each change.
    fn count(&self, counts: Counts);
    /// Waits until there is room for another batch.
    fn room(&self) -> impl Future<Output = ()> + Send;
}
