//! A server from its start to its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use store_core::Store;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::engine::Engine;
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
    /// The data folder holds what no server wrote.
    #[error("data folder {} is corrupted: {error}", .folder.display())]
    DataCorrupted {
        /// The folder asked for.
        folder: PathBuf,
        /// What is wrong with it.
        error: String,
    },
}

/// A running server. Dropped, it ends as if told to.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: Option<JoinHandle<()>>,
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
        let engine = open(options.storage, stopping.clone()).await?;
        let node = Arc::new(Node { engine, instance: Uuid::new_v4(), address });
        let ended = tokio::spawn(async move {
            connections::serve(listener, node.clone(), stopping).await;
            node.engine.close().await;
        });
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

    /// Ends the server: open subscriptions are told, calls being answered get half a second.
    pub async fn shutdown(mut self) {
        self.stop();
        if let Some(ended) = self.ended.take()
            && let Err(error) = ended.await
        {
            tracing::error!(%error, "the server did not end well");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Address { address, error },
    })
}

async fn open(storage: Storage, stopping: watch::Receiver<bool>) -> Result<Arc<Engine>, StartError> {
    let seed = Uuid::new_v4().as_u128();
    let (store, blocking) = match storage {
        Storage::Memory => (Store::in_memory(seed), false),
        Storage::Disk(folder) => {
            let path = folder.clone();
            let opened = tokio::task::spawn_blocking(move || disk::open(&path, seed)).await;
            // The storage engine may panic over what it did not write.
            let panicked = |error: tokio::task::JoinError| StartError::DataCorrupted {
                folder,
                error: error.to_string(),
            };
            (opened.map_err(panicked)??, true)
        }
    };
    let engine = Engine::new(store, blocking, stopping);
    engine.furnish().await.map_err(|fault| StartError::Storage(fault.to_string()))?;
    Ok(engine)
}
