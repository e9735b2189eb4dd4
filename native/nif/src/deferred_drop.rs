//! Drops what is large aside: one thread for all of it, which no scheduler waits for.

use std::sync::{Mutex, PoisonError};

type Large = Box<dyn Send>;

struct Waiting {
    all: Vec<Large>,
    /// A thread is at it.
    at_work: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { all: Vec::new(), at_work: false });

/// Has something dropped; here, if there is no thread to be had.
pub fn drop_later(large: impl Send + 'static) {
    let Ok(runtime) = crate::runtime::handle() else { return drop(large) };
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.all.push(Box::new(large));
    if !waiting.at_work {
        waiting.at_work = true;
        runtime.spawn_blocking(work);
    }
}

fn work() {
    while let Some(large) = next() {
        drop(large);
    }
}

fn next() -> Option<Large> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let next = waiting.all.pop();
    waiting.at_work = next.is_some();
    next
}
