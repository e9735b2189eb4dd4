//! Faults on demand: what calls are answered instead of what they ask for.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::fault;

/// What is done to a call.
#[derive(Clone, Debug)]
pub enum Injection {
    /// It ends with this status at once, and nothing of what it asks for is done.
    Refuse(Status),
    /// It is not answered before all injections are cleared; then it is answered as usual.
    Stall,
}

/// What is to be done to the next calls.
pub struct Injections {
    /// Whether there is anything to be done; calls ask nothing else as long as there is not.
    armed: AtomicBool,
    planned: Mutex<Vec<Planned>>,
    /// Changes when they are cleared.
    cleared: watch::Sender<()>,
}

struct Planned {
    /// The path of the method.
    method: &'static str,
    /// How many calls are still to come.
    calls: watch::Sender<usize>,
    injection: Injection,
}

/// Calls that were planned for, and may not have come yet.
#[derive(Clone, Debug)]
pub struct Pending(watch::Receiver<usize>);

impl Pending {
    /// Waits until all of them have come, or none of them is waited for any more.
    pub async fn come(&mut self) {
        drop(self.0.wait_for(|calls| *calls == 0).await);
    }
}

/// An injection for one call.
pub struct Injected {
    injection: Injection,
    cleared: watch::Receiver<()>,
}

impl Injections {
    /// None.
    pub fn new() -> Self {
        Self { armed: AtomicBool::new(false), planned: Mutex::default(), cleared: watch::Sender::new(()) }
    }

    /// Adds one for the next calls of a method, behind those that are planned for it.
    pub fn add(&self, method: &'static str, calls: usize, injection: Injection) -> Pending {
        let (left, pending) = watch::channel(calls);
        let mut planned = self.lock();
        if calls > 0 {
            planned.push(Planned { method, calls: left, injection });
            self.armed.store(true, Ordering::Release);
        }
        Pending(pending)
    }

    /// Forgets all, and lets go on what is stalled.
    pub fn clear(&self) {
        let mut planned = self.lock();
        planned.clear();
        self.armed.store(false, Ordering::Release);
        self.cleared.send_replace(());
    }

    /// What is to be done to a call of this method.
    pub fn take(&self, method: &str) -> Option<Injected> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut planned = self.lock();
        let index = planned.iter().position(|planned| planned.method == method)?;
        let next = planned.get(index)?;
        let injection = next.injection.clone();
        next.calls.send_modify(|calls| *calls -= 1);
        if *next.calls.borrow() == 0 {
            planned.remove(index);
            self.armed.store(!planned.is_empty(), Ordering::Release);
        }
        Some(Injected { injection, cleared: self.cleared.subscribe() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Injected {
    /// Does it to a call that has this deadline, on a server that is told to end at some time.
    ///
    /// # Errors
    /// What the call ends with; without an error it is answered as usual.
    pub async fn act(
        mut self,
        deadline: Option<Instant>,
        stopping: impl Future<Output = ()>,
    ) -> Result<(), Status> {
        if let Injection::Refuse(status) = self.injection {
            return Err(status);
        }
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // That nobody is left to clear it means the same.
            _ = self.cleared.changed() => Ok(()),
            () = late => Err(fault::late()),
            () = stopping => Err(fault::stopping()),
        }
    }
}
