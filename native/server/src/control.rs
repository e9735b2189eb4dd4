//! A handle to a running server, for whoever wants it to end or to misbehave.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::injection::{Injection, Injections, Pending};
use crate::orders::{self, Giver};
use crate::table;

/// Ends a running server, or has it misbehave. It keeps nothing of it.
#[derive(Clone)]
pub struct Control {
    orders: Giver,
    injections: Arc<Injections>,
}

/// There is no such method.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "the server has no method {0:?}; methods are named by their path, as \"/event_store.client.streams.Streams/Read\""
)]
pub struct UnknownMethod(String);

impl Control {
    pub(crate) fn new(orders: Giver, injections: Arc<Injections>) -> Self {
        Self { orders, injections }
    }

    /// Tells the server to end, without waiting for it.
    pub fn stop(&self) {
        orders::stop(&self.orders);
    }

    /// Cuts every connection that there is, in the middle of whatever is on it. New ones are accepted as before.
    pub fn drop_connections(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Does this to the next `calls` calls of a method, behind what else was injected for it; they are counted when
    /// they come in, and what is returned tells when all have.
    ///
    /// # Errors
    /// When the server has no method of this path; upper and lower case are alike.
    pub fn inject(&self, method: &str, calls: usize, injection: Injection) -> Result<Pending, UnknownMethod> {
        let method = table::find(method).map_err(|_| UnknownMethod(method.to_owned()))?;
        Ok(self.injections.add(method.path, calls, injection))
    }

    /// Forgets what was injected and did not happen yet. Calls that are stalled go on.
    pub fn clear(&self) {
        self.injections.clear();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Control").field("orders", &*self.orders.borrow()).finish_non_exhaustive()
    }
}
