//! Who waits for something new.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use store_core::StreamRow;
use tokio::sync::watch;

/// Those who wait for any event, and for those of a stream.
#[derive(Default)]
pub struct Watchers {
    log: watch::Sender<()>,
    streams: Mutex<HashMap<String, watch::Sender<()>>>,
}

impl Watchers {
    /// Hears of every write.
    pub fn log(&self) -> watch::Receiver<()> {
        self.log.subscribe()
    }

    /// Hears of writes to a stream.
    pub fn stream(&self, name: &str) -> watch::Receiver<()> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, sender| !sender.is_closed());
        streams.entry(name.to_owned()).or_default().subscribe()
    }

    /// A stream was written to, and perhaps its metadata as well.
    pub fn tell(&self, name: &str) {
        self.tell_all([name].into_iter());
    }

    /// Streams were written to.
    pub fn tell_of(&self, rows: &[StreamRow]) {
        self.tell_all(rows.iter().map(|row| row.name.as_ref()));
    }

    fn tell_all<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.log.send_replace(());
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.is_empty() {
            return;
        }
        for name in names {
            let beside = store_core::metadata_stream(name);
            for name in [name, &beside] {
                if let Some(sender) = streams.get(name) {
                    sender.send_replace(());
                }
            }
        }
    }
}
