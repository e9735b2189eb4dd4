//! Drops large buffers aside: one thread for all of them, which no scheduler waits for.

use std::sync::{Mutex, PoisonError};

use super::State;

struct Waiting {
    states: Vec<State>,
    /// A thread is at it.
    at_work: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { states: Vec::new(), at_work: false });

/// Has a buffer dropped; here, if there is no thread to be had.
pub fn drop_later(state: State) {
    let Ok(runtime) = crate::runtime::handle() else { return drop(state) };
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.states.push(state);
    if !waiting.at_work {
        waiting.at_work = true;
        runtime.spawn_blocking(work);
    }
}

fn work() {
    while let Some(state) = next() {
        drop(state);
    }
}

fn next() -> Option<State> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let next = waiting.states.pop();
    waiting.at_work = next.is_some();
    next
}
