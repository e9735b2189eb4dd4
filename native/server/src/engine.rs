//! The store as many tasks share it.
//!
//! Readers hear that there is something new, never what: they read it from the store, so nothing can be lost,
//! doubled or reordered between what was there before and what is new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use store_core::{Expected, Fault, NewEvent, Store, Ticks};
use tokio::sync::watch;
use tonic::Status;

use crate::connections::told;
use crate::fault;

/// The shared store.
pub struct Engine {
    store: RwLock<Option<Store>>,
    /// Storage that waits for a disk is not used on the threads that carry sockets.
    blocking: bool,
    stopping: watch::Receiver<bool>,
    log: watch::Sender<()>,
    streams: Mutex<HashMap<String, watch::Sender<()>>>,
}

impl Engine {
    /// Shares a store; `blocking` says whether its storage may wait for a disk.
    pub fn new(store: Store, blocking: bool, stopping: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            store: RwLock::new(Some(store)),
            blocking,
            stopping,
            log: watch::Sender::new(()),
            streams: Mutex::new(HashMap::new()),
        })
    }

    /// Reads.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl FnOnce(&Store, Ticks) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let engine = self.clone();
        self.run(move || {
            let store = engine.store.read().unwrap_or_else(PoisonError::into_inner);
            operation(store.as_ref().ok_or_else(closed)?, now())
        })
        .await
    }

    /// Writes, and tells those who wait for the streams that may have changed.
    pub async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        operation: impl FnOnce(&mut Store, &str, Ticks) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.run(move || {
            let mut store = engine.store.write().unwrap_or_else(PoisonError::into_inner);
            let written = operation(store.as_mut().ok_or_else(closed)?, &name, now());
            drop(store);
            engine.tell(&name);
            written
        })
        .await
    }

    /// Puts a system event into a new log: clients that look for one find it.
    pub async fn furnish(self: &Arc<Self>) -> Result<(), Fault> {
        let statistics = store_core::metadata_stream("$stats");
        let event = NewEvent {
            id: uuid::Uuid::new_v4().as_u128(),
            kind: "$metadata".to_owned(),
            json: true,
            data: "{\"$maxAge\":86400}".into(),
            custom: bytes::Bytes::new(),
        };
        self.write(&statistics, move |store, name, now| match store.is_new() {
            true => store.append(name, Expected::NoStream, &[event], now).map(|_| ()),
            false => Ok(()),
        })
        .await
    }

    /// The end of the log; 0 when the server is shutting down.
    pub async fn head(self: &Arc<Self>) -> u64 {
        self.read(|store, _| Ok(store.head())).await.unwrap_or_default()
    }

    /// Lets go of the store, whoever still waits for it.
    pub async fn close(self: &Arc<Self>) {
        let engine = self.clone();
        let closed = self.run(move || {
            engine.store.write().unwrap_or_else(PoisonError::into_inner).take();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "the store was not closed well");
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        if !self.blocking {
            return operation();
        }
        match tokio::task::spawn_blocking(operation).await {
            Ok(result) => result,
            Err(error) => Err(Fault::Storage(store_core::StorageError(error.to_string()))),
        }
    }

    /// Waits until the server ends.
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.clone();
        async move { told(&mut stopping).await }
    }

    /// Hears of every write.
    pub fn watch_log(&self) -> watch::Receiver<()> {
        self.log.subscribe()
    }

    /// Hears of writes to a stream.
    pub fn watch_stream(&self, name: &str) -> watch::Receiver<()> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, sender| !sender.is_closed());
        streams.entry(name.to_owned()).or_default().subscribe()
    }

    /// A write to a stream may write its metadata as well, and the reverse.
    fn tell(&self, name: &str) {
        self.log.send_replace(());
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.is_empty() {
            return;
        }
        let beside = store_core::metadata_stream(name);
        for name in [name, &beside] {
            if let Some(sender) = streams.get(name) {
                sender.send_replace(());
            }
        }
    }
}

fn closed() -> Fault {
    Fault::Storage(store_core::StorageError("the server is shutting down".to_owned()))
}

/// The time, in the ticks that events carry.
pub fn now() -> Ticks {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100).unwrap_or(Ticks::MAX)
}

/// A stream's name as the store knows it: bytes that are not UTF-8 are replaced.
///
/// # Errors
/// No name, or an empty one, is what the server cannot make sense of.
pub fn stream_name(identifier: Option<&wire::proto::StreamIdentifier>) -> Result<String, Status> {
    match identifier {
        Some(identifier) if !identifier.stream_name.is_empty() => {
            Ok(String::from_utf8_lossy(&identifier.stream_name).into_owned())
        }
        _ => Err(fault::handler()),
    }
}
