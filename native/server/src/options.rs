//! What a server is started with, and why it did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use store_disk::{Fsync, SEGMENT};
use thiserror::Error;

use crate::advertise::Advertised;
use crate::cluster::Cluster;
use crate::tls::{Tls, TlsError};

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
    /// With what it encrypts; without, it does not, and takes none that is encrypted.
    pub tls: Option<Tls>,
    /// Whether only those may call whom it knows: `admin` and `ops` at first, each with the password `changeit`.
    pub users: bool,
    /// Whether it keeps the streams of the system projections.
    pub system_projections: bool,
    /// The cluster that it is a node of.
    pub cluster: Option<Cluster>,
}

impl Options {
    /// A server that listens here, keeps events there, and leaves the rest as it is.
    #[must_use]
    pub fn new(address: SocketAddr, storage: Storage) -> Self {
        let (fsync, segment) = (Fsync::default(), SEGMENT);
        Self {
            address,
            storage,
            fsync,
            segment,
            advertise: None,
            tls: None,
            users: false,
            system_projections: false,
            cluster: None,
        }
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
    /// There is no certificate to encrypt with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A node of a cluster keeps its events in memory.
    #[error("a node of a cluster keeps its events in memory: clusters are for tests")]
    ClusterOnDisk,
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
