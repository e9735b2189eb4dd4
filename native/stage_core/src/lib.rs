//! Demand arithmetic, dispatchers and buffers of a stage: no BEAM, no tokio, no clock.
//!
//! - [`DemandDispatcher`]: who is owed how many events, and what that asks of the source
//! - [`Buffer`]: events that nobody has asked for yet, with marks between them
//! - [`Outlet`]: the two together, the way a producer uses them
//!
//! The core counts; it never sees an event. What a batch of events is, and where it lives, is the
//! business of whoever implements [`Batch`].

mod batch;
mod buffer;
mod demand;
mod outlet;

pub use batch::Batch;
pub use buffer::{Buffer, Keep, Part, Stored};
pub use demand::{AlreadySubscribed, Asked, Deals, DemandDispatcher, DemandOptions, UnknownSubscriber};
pub use outlet::{Delivery, Outlet};
