//! By which clock calls are timed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// When a call began.
#[derive(Debug, Clone, Copy)]
pub enum Began {
    /// By the time of day, which runs on while the system gives the core to others. Reading it is cheapest.
    Wall(Instant),
    /// By the time that the thread has had of a core: what a call itself is to blame for.
    Thread(Duration),
}

/// Whether threads' own time counts, for those that look for long calls.
static OF_THREADS: AtomicBool = AtomicBool::new(false);

/// Has calls timed by threads' own time from now on, or by the time of day.
pub fn of_threads(yes: bool) {
    OF_THREADS.store(yes, Relaxed);
}

/// Whether every call is to be looked at, whatever it costs.
pub fn looks_at_all() -> bool {
    OF_THREADS.load(Relaxed)
}

impl Began {
    /// Now.
    pub fn now() -> Self {
        if looks_at_all() { Self::Thread(of_thread()) } else { Self::Wall(Instant::now()) }
    }

    /// How long ago that was, in nanoseconds.
    pub fn nanos(self) -> u64 {
        super::nanos(match self {
            Self::Wall(began) => began.elapsed(),
            Self::Thread(began) => of_thread().saturating_sub(began),
        })
    }
}

fn of_thread() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
