//! Demand arithmetic, dispatchers and buffers of a stage: no BEAM, no tokio, no clock.
//!
//! - [`Dispatcher`]: who is owed how many events, and what that asks of the source; by demand
//!   ([`DemandDispatcher`]), to everyone ([`BroadcastDispatcher`]) or by partition ([`PartitionDispatcher`]), or
//!   whichever of these a producer was started with ([`AnyDispatcher`])
//! - [`Buffer`]: events that nobody has asked for yet, with marks between them
//! - [`Output`]: a dispatcher and the buffer before it, the way a producer uses them
//!
//! The core counts; it never sees an event. What a batch of events is, and where it lives, is the
//! business of whoever implements [`Batch`].

mod any;
mod batch;
mod blocks;
mod broadcast;
mod buffer;
mod chunked;
mod demand;
mod dispatcher;
mod output;
mod partition;
mod ranked;
mod sparse;

pub use any::{AnyDispatcher, Credited, DispatcherError, DispatcherKind, Membership, Recipient};
pub use batch::Batch;
pub use broadcast::{BroadcastDispatcher, Everyone, Lag, Share};
pub use buffer::{Buffer, Keep, Part, Stored};
pub use demand::{AlreadySubscribed, Asked, DemandDispatcher, DemandOptions, UnknownSubscriber};
pub use dispatcher::{Deals, Dispatcher};
pub use output::{Delivery, Output};
pub use partition::{PartitionDispatcher, Queued, Split};
