//! A server from its start to its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use store_core::Store;
use store_disk::{Fsync, SEGMENT};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::advertise::Advertised;
use crate::allowance::Room;
use crate::engine::Engine;
use crate::panics::guarded;
use crate::route::Node;
use crate::{connections, disk};

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, until the server ends.
    Memory,
    /// In a folder, which is made if there is none.
    Disk(PathBuf),
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Where it keeps events.
    pub storage: Storage,
    /// When an append to a folder is acknowledged.
    pub fsync: Fsync,
    /// How long a file of the log in a folder may become, in bytes: one of [`SEGMENTS`](crate::SEGMENTS).
    pub segment: u64,
    /// Where clients are told to find it; without one, where it listens.
    pub advertise: Option<Advertised>,
}

impl Options {
    /// A server that listens here, keeps events there, and leaves the rest as it is.
    #[must_use]
    pub fn new(address: SocketAddr, storage: Storage) -> Self {
        Self { address, storage, fsync: Fsync::default(), segment: SEGMENT, advertise: None }
    }
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another process listens there.
    #[error("port {} is in use: {address} is taken by another process", .address.port())]
    PortInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The storage failed at once.
    #[error("{0}")]
    Storage(String),
    /// Another server has the data folder open.
    #[error("data folder {} is in use by another server", .folder.display())]
    DataInUse {
        /// The folder asked for.
        folder: PathBuf,
    },
    /// The data folder cannot be made, read or written.
    #[error("data folder {} cannot be used: {error}", .folder.display())]
    DataUnusable {
        /// The folder asked for.
        folder: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The data folder holds something else, or is damaged.
    #[error("data folder {} is refused: {error}", .folder.display())]
    DataCorrupted {
        /// The folder asked for.
        folder: PathBuf,
        /// What is wrong with it.
        error: String,
    },
}

/// A server that ended though nobody told it to. Its port and its folder are free.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the embedded server ended by itself: {0}")]
pub struct Ended(String);

/// A running server. Dropped, it ends as if told to.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: Option<JoinHandle<Result<(), Ended>>>,
}

impl Server {
    /// Starts a server on the current tokio runtime; it answers once this returns.
    ///
    /// # Errors
    /// What [`StartError`] lists.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listener = listen(options.address).await?;
        let address =
            listener.local_addr().map_err(|error| StartError::Address { address: options.address, error })?;
        let (stop, stopping) = watch::channel(false);
        let kept = store_disk::Options {
            fsync: options.fsync,
            segment: options.segment,
            ..store_disk::Options::default()
        };
        let engine = open(options.storage, kept, stopping.clone()).await?;
        let node = Node {
            engine: engine.clone(),
            instance: Uuid::new_v4(),
            address: Advertised::or_listening(options.advertise.as_ref(), address),
            room: Room::for_all(),
        };
        let serving = connections::serve(listener, Arc::new(node), stopping);
        let ended = tokio::spawn(seen_to_its_end(serving, engine, stop.clone()));
        Ok(Self { address, stop, ended: Some(ended) })
    }

    /// Where the server listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Tells the server to end, without waiting for it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
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

/// Serves, and whatever becomes of that, lets go of the store: first of all who might still hold it is told to end.
async fn seen_to_its_end(
    serving: impl Future<Output = ()>,
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
) -> Result<(), Ended> {
    let served = guarded(serving).await;
    let told = stop.send_replace(true);
    let closed = guarded(engine.close()).await;
    drop(engine);
    match (served, closed) {
        (Err(panicked), _) | (Ok(()), Err(panicked)) => Err(Ended(panicked.to_string())),
        (Ok(()), Ok(())) if !told => Err(Ended("it accepts no more connections".to_owned())),
        (Ok(()), Ok(())) => Ok(()),
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
    stopping: watch::Receiver<bool>,
) -> Result<Arc<Engine>, StartError> {
    let seed = Uuid::new_v4().as_u128();
    let engine = match storage {
        Storage::Memory => Engine::in_memory(Store::in_memory(seed), stopping),
        Storage::Disk(folder) => {
            let opened = disk::open(folder, options, seed).await?;
            Engine::on_disk(opened, stopping).map_err(|error| StartError::Storage(error.to_string()))?
        }
    };
    engine.furnish().await.map_err(|fault| StartError::Storage(fault.to_string()))?;
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn engine(folder: &std::path::Path, stopping: watch::Receiver<bool>) -> Arc<Engine> {
        open(Storage::Disk(folder.to_owned()), store_disk::Options::default(), stopping).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_panics_says_so_ends_what_waits_and_lets_go_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (stop, stopping) = watch::channel(false);
        let engine = engine(folder.path(), stopping.clone()).await;
        // What a call does that waits for more: it holds the store until it is told.
        let waiting = tokio::spawn({
            let engine = engine.clone();
            async move { engine.stopping().await }
        });
        let serving = async { panic!("a fault") };
        let ended = tokio::spawn(seen_to_its_end(serving, engine, stop.clone()));
        let mut server = Server { address: "127.0.0.1:1".parse().unwrap(), stop, ended: Some(ended) };
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
