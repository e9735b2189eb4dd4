//! The store as many tasks share it.
//!
//! Readers hear that there is something new, never what: they read it from the store, so nothing can be lost,
//! doubled or reordered between what was there before and what is new.

use std::sync::{Arc, PoisonError, RwLock};

use store_core::{Answer, Command, Fault, StorageError, Store, Ticks};
use store_disk::{Fetcher, OpenError, Opened, Remover, without_waiting};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::allowance::Share;
use crate::committer::{Committer, Request};
use crate::orders::{self, told_to_stop};
use crate::time::now;
use crate::watchers::Watchers;

/// How often a read may have to wait for a disk before it does so where it is.
const FETCHES: usize = 64;

/// The shared store.
pub struct Engine {
    store: Arc<RwLock<Option<Store>>>,
    disk: Option<Disk>,
    stopping: orders::Receiver,
    watchers: Arc<Watchers>,
}

/// What a store on a disk has besides.
struct Disk {
    committer: Committer,
    fetcher: Fetcher,
    remover: Remover,
}

impl Engine {
    /// Shares a store in memory.
    pub fn in_memory(store: Store, stopping: orders::Receiver) -> Arc<Self> {
        let store = Arc::new(RwLock::new(Some(store)));
        Arc::new(Self { store, disk: None, stopping, watchers: Arc::default() })
    }

    /// Shares a store on a disk.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn on_disk(opened: Opened, stopping: orders::Receiver) -> std::io::Result<Arc<Self>> {
        let Opened { store, journal, fetcher, remover } = opened;
        let store = Arc::new(RwLock::new(Some(store)));
        let watchers = Arc::<Watchers>::default();
        let committer = Committer::start(store.clone(), journal, watchers.clone())?;
        Ok(Arc::new(Self { store, disk: Some(Disk { committer, fetcher, remover }), stopping, watchers }))
    }

    /// Reads. What is not in memory is fetched from the disk while nobody is kept from anything; then `operation`
    /// runs again.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl Fn(&Store, Ticks) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let Some(disk) = &self.disk else { return self.look(operation) };
        let mut former = None;
        for _ in 0..FETCHES {
            match without_waiting(|| self.look(&operation)) {
                // Some file systems cannot tell what is in memory.
                Err(Fault::Storage(StorageError::NotNow(awaited))) if former == Some(awaited) => break,
                Err(Fault::Storage(StorageError::NotNow(awaited))) => {
                    former = Some(awaited);
                    let fetcher = disk.fetcher.clone();
                    let fetched = tokio::task::spawn_blocking(move || fetcher.fetch(awaited));
                    fetched.await.map_err(|error| failed(&error.to_string()))?;
                }
                read => return read,
            }
        }
        self.look(operation)
    }

    fn look<T>(&self, operation: impl Fn(&Store, Ticks) -> Result<T, Fault>) -> Result<T, Fault> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let read = operation(store.as_ref().ok_or_else(closed)?, now());
        if let Err(Fault::Storage(StorageError::Failed(error))) = &read {
            tracing::error!(%error, "events cannot be read");
        }
        read
    }

    /// Has a request decided, writes what it changes, and tells those who wait for the streams that may have changed.
    /// On a disk, it is kept and readable when this returns. What it holds of the room for requests is free then. What
    /// is not decided by the deadline is not written.
    pub async fn write(
        self: &Arc<Self>,
        command: Command,
        held: Option<Share>,
        deadline: Option<Instant>,
    ) -> Result<Answer, Fault> {
        let Some(disk) = &self.disk else {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Fault::Late);
            }
            let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
            let written = store.as_mut().ok_or_else(closed)?.execute(&command, now());
            drop(store);
            self.watchers.tell(command.stream());
            return written;
        };
        let (answer, answered) = oneshot::channel();
        disk.committer.send(Request { command, held, deadline, answer });
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The end of the log; 0 when the server is shutting down.
    pub async fn head(self: &Arc<Self>) -> u64 {
        self.read(|store, _| Ok(store.head())).await.unwrap_or_default()
    }

    /// The end of the log of a store in memory; 0 when the server is shutting down.
    pub fn head_now(&self) -> u64 {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.as_ref().map_or(0, Store::head)
    }

    /// Takes over what another store has more than this one, which is a part of it. Both are in memory.
    ///
    /// # Errors
    /// When one of them is shutting down.
    pub fn copy(&self, from: &Self) -> Result<(), Fault> {
        let position = self.head_now();
        let change = from.look(|store, _| store.since(position))?;
        let rows = change.streams.clone();
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        store.as_mut().ok_or_else(closed)?.apply(change);
        drop(store);
        self.watchers.tell_of(&rows);
        Ok(())
    }

    /// Lets go of the store, whoever still waits for it.
    pub async fn close(self: &Arc<Self>) {
        let engine = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            if let Some(disk) = &engine.disk {
                disk.committer.end();
            }
            drop(engine.store.write().unwrap_or_else(PoisonError::into_inner).take());
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "the store was not closed well");
        }
    }

    /// Removes all that a store has kept which is closed.
    ///
    /// # Errors
    /// When the folder cannot be changed.
    pub async fn remove(&self) -> Result<(), OpenError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let remover = disk.remover.clone();
        let removed = tokio::task::spawn_blocking(move || remover.remove()).await;
        removed.unwrap_or_else(|error| Err(OpenError::Unusable(error.to_string())))
    }

    /// Waits until the server ends.
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.clone();
        async move { told_to_stop(&mut stopping).await }
    }

    /// Hears of every write.
    pub fn watch_log(&self) -> watch::Receiver<()> {
        self.watchers.log()
    }

    /// Hears of writes to a stream.
    pub fn watch_stream(&self, name: &str) -> watch::Receiver<()> {
        self.watchers.stream(name)
    }
}

fn closed() -> Fault {
    failed("the server is shutting down")
}

fn failed(why: &str) -> Fault {
    Fault::Storage(StorageError::Failed(why.to_owned()))
}
