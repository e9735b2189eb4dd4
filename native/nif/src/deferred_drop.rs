//! Drops what is large aside: one thread for all of it, which no scheduler waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;

type Large = Box<dyn Send>;

static WAITING: Mutex<Vec<Large>> = Mutex::new(Vec::new());
static COME: Condvar = Condvar::new();
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the thread, when the library is loaded: that takes longer than a call may. It sleeps while there is nothing to
/// drop.
pub fn start() {
    if !STARTED.swap(true, Relaxed) && Builder::new().name("penstock-drop".to_owned()).spawn(work).is_err() {
        STARTED.store(false, Relaxed);
    }
}

/// Has something dropped; here, if there is no thread to be had.
pub fn drop_later(large: impl Send + 'static) {
    if STARTED.load(Relaxed) {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(large));
        COME.notify_one();
    }
}

fn work() {
    loop {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.is_empty() {
            waiting = COME.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let large = std::mem::take(&mut *waiting);
        // whoever has more to drop does not wait for what is dropped now
        drop(waiting);
        // what panics over it takes only itself away
        catch_unwind(AssertUnwindSafe(|| drop(large))).ok();
    }
}
