//! What every call may need of the server that it is made to.

use std::sync::Arc;

use uuid::Uuid;

use crate::allowance::Room;
use crate::caller::Caller;
use crate::engine::Engine;
use crate::injection::Injections;

/// A running server, as its calls see it.
pub struct Node {
    /// The store.
    pub engine: Arc<Engine>,
    /// The server's own id.
    pub instance: Uuid,
    /// The host and port at which the server is to be found.
    pub address: (String, u16),
    /// What the requests of all connections may take.
    pub room: Room,
    /// What calls are answered on purpose, instead of what they ask for.
    pub injections: Arc<Injections>,
}

/// What a method is called with, besides what is requested.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub node: Arc<Node>,
    /// Who calls.
    pub caller: Caller,
}

impl Context {
    /// The store.
    pub fn engine(&self) -> Arc<Engine> {
        self.node.engine.clone()
    }
}
