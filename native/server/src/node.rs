//! What every call may need of the server that it is made to.

use std::sync::Arc;

use store_core::{Answer, Command, Fault, Right};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use crate::access::{Identity, Users};
use crate::allowance::{Room, Share};
use crate::caller::Caller;
use crate::cluster::{Leading, Seat};
use crate::engine::Engine;
use crate::fault;
use crate::injection::Injections;
use crate::orders::Giver;
use crate::troubles::Troubles;

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
    /// What befalls calls on purpose.
    pub troubles: Arc<Troubles>,
    /// Whom it knows, unless everybody may call.
    pub users: Option<Users>,
    /// Its place, if it is a node of a cluster.
    pub seat: Option<Seat>,
    /// Whether it keeps the streams of the system projections.
    pub projects: bool,
    /// By which it is told to end.
    pub orders: Giver,
}

impl Node {
    /// Has a request decided and written, by the leader if there are others: see [`Engine::write`].
    ///
    /// # Errors
    /// Those of the store, and that nothing is written now.
    pub async fn write(
        &self,
        command: Command,
        held: Option<Share>,
        deadline: Option<Instant>,
    ) -> Result<Answer, Fault> {
        self.troubles.may_write()?;
        match &self.seat {
            Some(seat) => seat.write(command, deadline).await,
            None => self.engine.write(command, held, deadline).await,
        }
    }

    /// Whether it is the one that writes.
    pub fn leads(&self) -> bool {
        self.seat.as_ref().is_none_or(|seat| seat.leader_elsewhere() == Err(Leading))
    }

    /// Whether it may answer what only a leader answers.
    ///
    /// # Errors
    /// What it answers if not.
    pub fn must_lead(&self) -> Result<(), Status> {
        if let Some((host, port)) = self.troubles.leader() {
            return Err(fault::not_leader(&host, port));
        }
        match self.seat.as_ref().map(Seat::leader_elsewhere) {
            None | Some(Err(Leading)) => Ok(()),
            Some(Ok(Some((host, port)))) => Err(fault::not_leader(&host, port)),
            Some(Ok(None)) => Err(fault::not_ready()),
        }
    }
}

/// What a method is called with, besides what is requested.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub node: Arc<Node>,
    /// How it is called.
    pub caller: Caller,
    /// Who calls.
    pub identity: Identity,
}

impl Context {
    /// Whether the caller may do this with a stream.
    ///
    /// # Errors
    /// What it is answered if not.
    pub async fn allow(&self, stream: &str, right: Right) -> Result<(), Status> {
        self.identity.allow(&self.node.engine, stream, right).await
    }

    /// Whether this server may answer: a caller may want the leader, and a server may be told to want it.
    ///
    /// # Errors
    /// What it answers if not.
    pub fn check_leader(&self) -> Result<(), Status> {
        if self.caller.requires_leader || self.node.troubles.leader().is_some() {
            self.node.must_lead()?;
        }
        Ok(())
    }

    /// The store.
    pub fn engine(&self) -> Arc<Engine> {
        self.node.engine.clone()
    }
}
