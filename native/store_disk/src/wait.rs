//! Reads that do not wait for a disk: on threads that have something better to do.

use std::cell::Cell;

thread_local! {
    static WAITING: Cell<bool> = const { Cell::new(true) };
}

/// Runs `read`; what it would have to wait for ends it with `StorageError::NotNow`.
pub fn without_waiting<T>(read: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WAITING.set(self.0);
        }
    }
    let _restore = Restore(WAITING.replace(false));
    read()
}

/// Whether this thread may wait.
pub fn allowed() -> bool {
    WAITING.get()
}
