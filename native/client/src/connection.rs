//! A connection: which node of a server is used, and by whom.
//!
//! An actor owns the choice. Whoever makes a call, short or long, asks for the node that is used, which costs no wait, and
//! tells the actor when the call has failed, with the error and the node that it was made to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::Request;
use wire::error::Error;

use crate::node::Node;
use crate::settings::{Settings, Unsupported};

/// So many failures wait for the actor; what comes beside them says the same.
const FAILURES: usize = 64;

/// A connection that calls and subscriptions share. It lives as long as one of them has it.
#[derive(Debug, Clone)]
pub struct Connection {
    settings: Arc<Settings>,
    node: watch::Receiver<Arc<Node>>,
    failures: mpsc::Sender<Failed>,
}

/// A call that failed.
#[derive(Debug)]
struct Failed {
    node: Arc<Node>,
    error: Error,
}

impl Connection {
    /// A connection that is made when it is first used, and made again whenever it was lost.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// For an address that is none.
    pub fn new(settings: Settings) -> Result<Self, Unsupported> {
        let node = Arc::new(Node::new(settings.address.clone(), &settings)?);
        let (used, node) = watch::channel(node);
        let (failures, failed) = mpsc::channel(FAILURES);
        tokio::spawn(Actor { used, failed }.run());
        Ok(Self { settings: Arc::new(settings), node, failures })
    }

    /// The node that is used now.
    pub(crate) fn node(&self) -> Arc<Node> {
        self.node.borrow().clone()
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
        self.failures.try_send(Failed { node: node.clone(), error: error.clone() }).ok();
        error
    }

    /// A request as the user that the connection string names.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.settings.metadata {
            request.metadata_mut().insert(*name, value.clone());
        }
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

/// Owns the choice of a node, until the last one who might ask for it is gone.
struct Actor {
    used: watch::Sender<Arc<Node>>,
    failed: mpsc::Receiver<Failed>,
}

impl Actor {
    async fn run(mut self) {
        while let Some(Failed { node, error }) = self.failed.recv().await {
            // of a node that is used no longer, nothing follows
            if Arc::ptr_eq(&node, &self.used.borrow()) {
                self.choose(&error);
            }
        }
    }

    /// There is one node to choose from, and it makes its connections again by itself.
    fn choose(&mut self, error: &Error) {
        tracing::debug!(%error, "a call failed");
    }
}
