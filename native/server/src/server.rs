//! A server from its start to its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use store_core::{Command, Expected, Fault, Store};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::access::Users;
use crate::advertise::Advertised;
use crate::allowance::Room;
use crate::cluster::Cluster;
use crate::connections::{self, Again};
use crate::control::Control;
use crate::engine::Engine;
use crate::injection::Injections;
use crate::node::Node;
use crate::options::{Options, StartError, Storage};
use crate::orders::{self, Giver, Receiver, Resets};
use crate::panics::guarded;
use crate::tls::Tls;
use crate::troubles::Troubles;
use crate::{accounts, disk, projections};

/// A server that ended though nobody told it to. Its port and its folder are free.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the embedded server ended by itself: {0}")]
pub struct Ended(String);

/// A running server. Dropped, it ends as if told to.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    control: Control,
    /// Here so that the file of a certificate that was made for it lasts as long as the server.
    tls: Option<Tls>,
    ended: Option<JoinHandle<Result<(), Ended>>>,
}

impl Server {
    /// Starts a server on the current tokio runtime; it answers once this returns.
    ///
    /// # Errors
    /// What [`StartError`] lists.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if options.cluster.is_some() && options.storage != Storage::Memory {
            return Err(StartError::ClusterOnDisk);
        }
        let tls = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let listener = listen(options.address).await?;
        let address =
            listener.local_addr().map_err(|error| StartError::Address { address: options.address, error })?;
        let (giver, orders) = orders::orders();
        let (resets, wanted) = mpsc::channel(1);
        let (injections, troubles) = (Arc::new(Injections::new()), Arc::new(Troubles::new()));
        let control = Control::new(giver.clone(), injections.clone(), troubles.clone(), resets);
        let ground = Ground {
            kept: store_disk::Options {
                fsync: options.fsync,
                segment: options.segment,
                ..store_disk::Options::default()
            },
            storage: options.storage,
            address: Advertised::or_listening(options.advertise.as_ref(), address),
            tls,
            users: options.users,
            system_projections: options.system_projections,
            cluster: options.cluster,
            injections,
            troubles,
            orders,
            giver: giver.clone(),
        };
        let node = ground.node().await?;
        if let Some(seat) = &node.seat {
            control.joined(seat.clone());
        }
        let ended = tokio::spawn(live(ground, node, listener, wanted, giver));
        Ok(Self { address, control, tls: options.tls, ended: Some(ended) })
    }

    /// Where the server listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The file with the certificate that clients are to trust, if it was made for this server. It is gone with it.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.tls.as_ref().and_then(Tls::ca_file)
    }

    /// A handle for whoever is to end it, or to have it misbehave.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Tells the server to end, without waiting for it.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits until the server has ended and holds nothing more.
    ///
    /// # Errors
    /// When it was not told to end, or could not end well.
    pub async fn ended(&mut self) -> Result<(), Ended> {
        let Some(ended) = self.ended.as_mut() else { return Ok(()) };
        let outcome = ended.await.unwrap_or_else(|error| Err(Ended(error.to_string())));
        self.ended = None;
        outcome
    }

    /// Ends the server: open subscriptions are told, calls being answered get half a second.
    pub async fn shutdown(mut self) {
        self.stop();
        if let Err(error) = self.ended().await {
            tracing::error!(%error, "the server did not end well");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a server begins with, each time that it does.
struct Ground {
    storage: Storage,
    kept: store_disk::Options,
    address: (String, u16),
    tls: Option<TlsAcceptor>,
    users: bool,
    system_projections: bool,
    cluster: Option<Cluster>,
    injections: Arc<Injections>,
    troubles: Arc<Troubles>,
    orders: Receiver,
    giver: Giver,
}

impl Ground {
    async fn node(&self) -> Result<Arc<Node>, StartError> {
        let failed = |fault: Fault| StartError::Storage(fault.to_string());
        let (instance, address) = (Uuid::new_v4(), self.address.clone());
        let engine = open(self.storage.clone(), self.kept, self.orders.clone()).await?;
        // The first node of a cluster is like any server, and the others are like it.
        let seat = match &self.cluster {
            Some(cluster) => {
                Some(cluster.join(instance, address.clone(), engine.clone()).await.map_err(failed)?)
            }
            None => None,
        };
        let users = match self.users {
            true => Some(Users::new().map_err(StartError::Storage)?),
            false => None,
        };
        let projects = self.system_projections;
        let node = Arc::new(Node {
            engine,
            instance,
            address,
            room: Room::for_all(),
            injections: self.injections.clone(),
            troubles: self.troubles.clone(),
            users,
            seat,
            projects,
            orders: self.giver.clone(),
        });
        // What others of a cluster have they have from the first one.
        if node.leads() {
            if node.engine.read(|store, _| Ok(store.is_new())).await.map_err(failed)? {
                node.engine.write(furniture(), None, None).await.map_err(failed)?;
            }
            if node.users.is_some() {
                accounts::furnish(&node.engine).await.map_err(failed)?;
            }
        }
        if projects {
            tokio::spawn(projections::follow(Arc::downgrade(&node)));
        }
        Ok(node)
    }

    /// The same without anything of what was before. Calls that still have that find it closed.
    async fn anew(&self, former: &Engine) -> Result<Arc<Node>, String> {
        former.remove().await.map_err(|error| error.to_string())?;
        self.injections.clear();
        self.node().await.map_err(|error| error.to_string())
    }
}

/// From the start to the end, through every reset.
async fn live(
    ground: Ground,
    mut node: Arc<Node>,
    mut listener: TcpListener,
    mut resets: Resets,
    giver: Giver,
) -> Result<(), Ended> {
    loop {
        let (engine, seat) = (node.engine.clone(), node.seat.clone());
        let serving =
            connections::serve(listener, ground.tls.clone(), node, ground.orders.clone(), &mut resets);
        let served = seen_to_its_end(serving, &engine, &giver).await;
        // Others of its cluster hear of it, however it ended.
        if let (Ok(None) | Err(_), Some(seat)) = (&served, seat) {
            seat.die();
        }
        let Some(again) = served? else { return Ok(()) };
        let begun = guarded(ground.anew(&engine)).await.unwrap_or_else(|panicked| Err(panicked.to_string()));
        match begun {
            Ok(begun) => {
                (node, listener) = (begun, again.listener);
                // Whoever does not wait any more knows by the next call.
                let _ = again.waiting.send(Ok(()));
            }
            Err(error) => {
                orders::stop(&giver);
                let _ = again.waiting.send(Err(error.clone()));
                return Err(Ended(format!("it could not begin anew: {error}")));
            }
        }
    }
}

/// Serves, and whatever becomes of that, lets go of the store: first of all who might still hold it is told to end, unless
/// the server begins anew.
async fn seen_to_its_end(
    serving: impl Future<Output = Option<Again>>,
    engine: &Arc<Engine>,
    giver: &Giver,
) -> Result<Option<Again>, Ended> {
    let served = guarded(serving).await;
    let told = matches!(served, Ok(Some(_))) || orders::stop(giver);
    let closed = guarded(engine.close()).await;
    match (served, closed) {
        (Err(panicked), _) | (Ok(_), Err(panicked)) => {
            orders::stop(giver);
            Err(Ended(panicked.to_string()))
        }
        (Ok(_), Ok(())) if !told => Err(Ended("it accepts no more connections".to_owned())),
        (Ok(again), Ok(())) => Ok(again),
    }
}

/// A system event for a new log: clients that look for one find it.
fn furniture() -> Command {
    Command::SetMetadata {
        stream: "$stats".to_owned(),
        expected: Expected::NoStream,
        metadata: "{\"$maxAge\":86400}".to_owned(),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Address { address, error },
    })
}

async fn open(
    storage: Storage,
    options: store_disk::Options,
    stopping: Receiver,
) -> Result<Arc<Engine>, StartError> {
    let seed = Uuid::new_v4().as_u128();
    let engine = match storage {
        Storage::Memory => Engine::in_memory(Store::in_memory(seed), stopping),
        Storage::Disk(folder) => {
            let opened = disk::open(folder, options, seed).await?;
            Engine::on_disk(opened, stopping).map_err(|error| StartError::Storage(error.to_string()))?
        }
    };
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn engine(folder: &std::path::Path, stopping: Receiver) -> Arc<Engine> {
        open(Storage::Disk(folder.to_owned()), store_disk::Options::default(), stopping).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_panics_says_so_ends_what_waits_and_lets_go_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (giver, orders) = orders::orders();
        let engine = engine(folder.path(), orders.clone()).await;
        // What a call does that waits for more: it holds the store until it is told.
        let waiting = tokio::spawn({
            let engine = engine.clone();
            async move { engine.stopping().await }
        });
        let serving = async { panic!("a fault") };
        let ended = tokio::spawn({
            let giver = giver.clone();
            async move { seen_to_its_end(serving, &engine, &giver).await.map(drop) }
        });
        let control =
            Control::new(giver, Arc::new(Injections::new()), Arc::new(Troubles::new()), mpsc::channel(1).0);
        let address = "127.0.0.1:1".parse().unwrap();
        let mut server = Server { address, control, tls: None, ended: Some(ended) };
        let error = tokio::time::timeout(Duration::from_secs(10), server.ended()).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the embedded server ended by itself: panic: a fault");
        waiting.await.unwrap();
        let options = Options::new("127.0.0.1:0".parse().unwrap(), Storage::Disk(folder.path().to_owned()));
        Server::start(options).await.unwrap().shutdown().await;
    }

    #[tokio::test]
    async fn a_server_that_was_told_to_end_ended_well() {
        let options = Options::new("127.0.0.1:0".parse().unwrap(), Storage::Memory);
        let mut server = Server::start(options).await.unwrap();
        server.stop();
        assert_eq!(server.ended().await, Ok(()));
        assert_eq!(server.ended().await, Ok(()));
    }
}
