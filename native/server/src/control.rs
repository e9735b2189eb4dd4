//! A handle to a running server, for whoever wants it to end, to begin anew or to misbehave.

use std::fmt;
use std::sync::{Arc, OnceLock};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::cluster::Seat;
use crate::injection::{Injection, Injections, Pending};
use crate::orders::{self, Giver, Waiting};
use crate::table;
use crate::troubles::{Trouble, Troubles};

/// Ends a running server, has it begin anew, or misbehave. It keeps nothing of it.
#[derive(Clone)]
pub struct Control {
    orders: Giver,
    injections: Arc<Injections>,
    troubles: Arc<Troubles>,
    resets: mpsc::Sender<Waiting>,
    /// Its place in a cluster: set when it has joined.
    seat: Arc<OnceLock<Seat>>,
}

/// The server could not begin anew.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the server was not reset: {0}")]
pub struct NotReset(String);

/// There is no such method.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "the server has no method {0:?}; methods are named by their path, as \"/event_store.client.streams.Streams/Read\""
)]
pub struct UnknownMethod(String);

impl Control {
    pub(crate) fn new(
        orders: Giver,
        injections: Arc<Injections>,
        troubles: Arc<Troubles>,
        resets: mpsc::Sender<Waiting>,
    ) -> Self {
        Self { orders, injections, troubles, resets, seat: Arc::default() }
    }

    pub(crate) fn joined(&self, seat: Seat) {
        // A node joins once.
        let _ = self.seat.set(seat);
    }

    /// Has the server begin as at its first start, on the same port: cuts every connection, drops all events, also those
    /// that a folder keeps, and forgets what was injected. What was acknowledged before this returns is gone; what was not
    /// is written neither before nor after. Connections that are made meanwhile wait.
    ///
    /// # Errors
    /// When the server has ended, ends because its folder cannot be changed, or is a node of a cluster.
    pub async fn reset(&self) -> Result<(), NotReset> {
        if self.seat.get().is_some() {
            return Err(NotReset("it is a node of a cluster".to_owned()));
        }
        self.heal();
        let (waiting, done) = oneshot::channel();
        // A server that is gone drops it, and that is heard.
        let _ = self.resets.send(waiting).await;
        let outcome = done.await.unwrap_or_else(|_| Err("it has ended".to_owned()));
        outcome.map_err(NotReset)
    }

    /// Tells the server to end, without waiting for it.
    pub fn stop(&self) {
        orders::stop(&self.orders);
    }

    /// Cuts every connection that there is, in the middle of whatever is on it. New ones are accepted as before.
    pub fn drop_connections(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Ends the server in the middle of whatever it does: its connections are cut. Of a cluster, others hear of it.
    pub fn kill(&self) {
        if let Some(seat) = self.seat.get() {
            seat.die();
        }
        self.orders.send_modify(|orders| (orders.stop, orders.cuts) = (true, orders.cuts + 1));
    }

    /// Has the server stand still: its connections stay open, and say nothing, not even to HTTP/2's pings. Others of its
    /// cluster notice after a second.
    pub fn freeze(&self) {
        if let Some(seat) = self.seat.get() {
            seat.freeze();
        }
        self.orders.send_modify(|orders| orders.frozen = true);
    }

    /// Has a server that stands still go on; of a cluster, with what was written meanwhile.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn thaw(&self) -> Result<(), NotReset> {
        if let Some(seat) = self.seat.get() {
            seat.thaw().await.map_err(|error| NotReset(error.to_string()))?;
        }
        self.orders.send_modify(|orders| orders.frozen = false);
        Ok(())
    }

    /// Has the leader of a cluster give up the lead; nothing else has one to give up.
    pub fn resign(&self) {
        if let Some(seat) = self.seat.get() {
            seat.resign();
        }
    }

    /// What the server is in its cluster, as `/info` says it: `leader` of a single one.
    #[must_use]
    pub fn state(&self) -> String {
        let state = self.seat.get().map_or("Leader", |seat| seat.state().as_str_name());
        state.to_ascii_lowercase()
    }

    /// Begins a fault that lasts until [`Control::heal`].
    pub fn trouble(&self, trouble: Trouble) {
        self.troubles.begin(trouble);
    }

    /// Ends what [`Control::trouble`] began.
    pub fn heal(&self) {
        self.troubles.end();
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
