//! A thread for what nobody waits for: zeros ahead of the log, indexes of what is sealed.

use std::sync::mpsc;
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs in their order; dropped, it waits for those it has.
pub struct Helper(Option<(mpsc::Sender<Job>, JoinHandle<()>)>);

impl Helper {
    /// Runs every job at once, by whoever brings it.
    pub fn none() -> Self {
        Self(None)
    }

    /// Runs jobs on a thread of its own.
    pub fn thread() -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let work = move || {
            for job in jobs {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job beside the log panicked");
                }
            }
        };
        let thread = std::thread::Builder::new().name("penstock-helper".to_owned()).spawn(work)?;
        Ok(Self(Some((sender, thread))))
    }

    /// Has a job done.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        match &self.0 {
            None => job(),
            Some((sender, _)) => {
                if let Err(mpsc::SendError(job)) = sender.send(Box::new(job)) {
                    job();
                }
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // What panicked was said when it did.
            let _ = thread.join();
        }
    }
}
