//! The thread that writes to a disk: it has all requests that wait decided, writes and syncs what they change together,
//! lets readers see it, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use store_core::{Answer, Command, Decision, Draft, Fault, Store};
use store_disk::{Journal, commit};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::allowance::Share;
use crate::time::now;
use crate::watchers::Watchers;

/// A request that waits to be written.
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// What it takes of the room that requests have.
    pub held: Option<Share>,
    /// When it is too late to decide it.
    pub deadline: Option<Instant>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Answer, Fault>>,
}

impl store_disk::Request for Request {
    fn decide(&self, draft: &Draft<'_>) -> Result<Decision<Answer>, Fault> {
        // Nobody waits for it any more, and who asked was told that it was given up.
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => Err(Fault::Late),
            _ => draft.decide(&self.command, now()),
        }
    }

    fn answer(self, outcome: Result<Answer, Fault>) {
        drop(self.held);
        // A client that is gone does not need to know.
        let _ = self.answer.send(outcome);
    }
}

/// After so long without a request, what says how far the log goes is synced, too.
const REST: Duration = Duration::from_secs(1);

/// The way to the thread.
pub struct Committer {
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has none.
    pub fn start(
        store: Arc<RwLock<Option<Store>>>,
        journal: Journal,
        watchers: Arc<Watchers>,
    ) -> std::io::Result<Self> {
        let (sender, requests) = channel();
        let run = move || run(&requests, &store, journal, &watchers);
        let thread = std::thread::Builder::new().name("penstock-commit".to_owned()).spawn(run)?;
        Ok(Self { requests: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a request; one that comes too late is dropped.
    pub fn send(&self, request: Request) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = requests.as_ref() {
            // Whoever waits for a request that is dropped hears of that.
            let _ = sender.send(request);
        }
    }

    /// Returns when everything that was handed over is written, and the journal is closed.
    pub fn end(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes to the data folder panicked");
        }
    }
}

fn run(
    requests: &Receiver<Request>,
    store: &RwLock<Option<Store>>,
    mut journal: Journal,
    watchers: &Watchers,
) {
    let mut resting = true;
    loop {
        let received = match resting {
            true => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => requests.recv_timeout(REST),
        };
        match received {
            Ok(first) => {
                resting = false;
                let mut first = Some(first);
                let next = || first.take().or_else(|| requests.try_recv().ok());
                let published = |streams: &[_]| watchers.tell_of(streams);
                let batch = || commit(store, &mut journal, next, published);
                if catch_unwind(AssertUnwindSafe(batch)).is_err() {
                    journal.give_up("writing panicked");
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                resting = true;
                // What goes wrong is said by the journal, to whoever writes next.
                let _ = journal.rest();
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(error) = journal.close() {
        tracing::error!(%error, "the store was not closed well");
    }
}
