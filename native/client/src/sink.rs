//! Where a subscription's events go, and what else it tells.

use bytes::Bytes;
use reader_core::Counts;
use wire::error::Error;

/// Events in the form in which they came, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// One `ReadResp` with an event each.
    pub events: Vec<Bytes>,
    /// How many bytes that is.
    pub bytes: usize,
}

/// What happens to a subscription, besides events.
pub type Report = reader_core::Report<Error>;

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
