//! A connection: which node of a server is used, and by whom.
//!
//! An actor owns the choice (`crate::actor`). Whoever makes a call, short or long, asks for the node that is used, which
//! costs no wait once there is one, and tells the actor when the call has failed, with the error and the node that it was
//! made to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tonic::Request;
use wire::connection_string::NodePreference;
use wire::error::Error;

use crate::actor::{Actor, Order, Used};
use crate::node::Node;
use crate::settings::{Credentials, Metadata, Settings};
use crate::spoken::Spoken;
use crate::unusable::Unusable;

/// So many orders wait for the actor; what failures come beside them say the same.
const ORDERS: usize = 64;
/// How often one call goes to whoever is said to lead.
const FOLLOWS: u32 = 2;

/// A connection that calls and subscriptions share. It lives as long as one of them has it.
#[derive(Debug, Clone)]
pub struct Connection {
    settings: Arc<Settings>,
    metadata: Arc<Metadata>,
    used: Used,
    orders: mpsc::Sender<Order>,
}

impl Connection {
    /// A connection that is made when it is first used, and made again whenever it was lost.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// For an address that is none.
    pub fn new(settings: Settings) -> Result<Self, Unusable> {
        let settings = Arc::new(settings);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (actor, used) = Actor::new(settings.clone(), ordered)?;
        tokio::spawn(actor.run());
        Ok(Self { metadata: settings.metadata.clone(), settings, used, orders })
    }

    /// The same connection for calls of somebody else.
    ///
    /// # Errors
    /// For credentials that cannot travel as metadata.
    pub fn with_credentials(&self, credentials: &Credentials) -> Result<Self, Unusable> {
        let metadata = Arc::new(self.metadata.with_credentials(credentials)?);
        Ok(Self { metadata, ..self.clone() })
    }

    /// The node that is used now; it is looked for where there is none.
    pub(crate) async fn node(&self) -> Result<Arc<Node>, Error> {
        let used = self.used.borrow().clone();
        match used {
            Some(node) => Ok(node),
            None => self.newest_node().await,
        }
    }

    /// The same after everything that was told before has been thought about.
    pub(crate) async fn newest_node(&self) -> Result<Arc<Node>, Error> {
        let gone = || Error::Unavailable { message: "the connection is over".into() };
        let (answer, found) = oneshot::channel();
        self.orders.send(Order::Find(answer)).await.map_err(|_| gone())?;
        found.await.map_err(|_| gone())?
    }

    /// The node that is used, at any time.
    pub(crate) fn used(&self) -> Used {
        self.used.clone()
    }

    /// Whether only the leader is used, so that everybody goes where the leader is.
    pub(crate) fn wants_leader(&self) -> bool {
        self.settings.cluster.as_ref().is_some_and(|cluster| cluster.preference == NodePreference::Leader)
    }

    /// How long a short call may take; `None` is for ever.
    pub fn deadline(&self) -> Option<Duration> {
        self.settings.deadline
    }

    /// Notes that a call to this node failed; answers the error with the node's address in it, where it is the node that
    /// is missing or silent.
    pub(crate) fn failed(&self, node: &Arc<Node>, error: Error) -> Error {
        let error = node.named(error);
        // an actor that is gone, or has enough to do, needs no other failure
        self.orders.try_send(Order::Failed(node.clone(), error.clone())).ok();
        error
    }

    /// Makes a short call to the node that is used; where it may be made twice, also to the one that is said to lead: a
    /// node that does not lead has done nothing then. `limit` is for finding a node.
    pub(crate) async fn call<T, F: Future<Output = Result<T, Error>>>(
        &self,
        limit: Option<Limit>,
        may_be_made_twice: bool,
        mut call: impl FnMut(Arc<Node>) -> F,
    ) -> Result<T, Error> {
        let mut node = found(limit, self.node()).await?;
        let mut follows = if may_be_made_twice { FOLLOWS } else { 0 };
        loop {
            let error = match call(node.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.failed(&node, error),
            };
            if !matches!(error, Error::NotLeader { .. }) || follows == 0 {
                return Err(error);
            }
            follows -= 1;
            node = found(limit, self.newest_node()).await?;
        }
    }

    /// A request as the user of this connection.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.metadata.put_into(request.metadata_mut());
        request
    }

    /// The same with a deadline that the server is told.
    pub(crate) fn timely<T>(&self, message: T, deadline: Option<Duration>) -> Request<T> {
        let mut request = self.request(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

/// When something has to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// How long it may take, all in all.
    pub(crate) time: Duration,
    pub(crate) until: Instant,
}

impl Limit {
    /// `None` for ever.
    pub(crate) fn of(time: Option<Duration>) -> Option<Self> {
        let until = |time| Instant::now().checked_add(time);
        time.and_then(|time| Some(Self { time, until: until(time)? }))
    }

    /// How much of it is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

async fn found(
    limit: Option<Limit>,
    node: impl Future<Output = Result<Arc<Node>, Error>>,
) -> Result<Arc<Node>, Error> {
    let Some(Limit { time, until }) = limit else { return node.await };
    timeout_at(until, node).await.unwrap_or_else(|_| {
        let message = format!("no node of the cluster was found within {}", Spoken(time));
        Err(Error::DeadlineExceeded { message })
    })
}
