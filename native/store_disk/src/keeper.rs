//! Group commit: many requests are decided, written together, made readable, and then answered.

use std::sync::{PoisonError, RwLock};

use store_core::{Draft, StorageError, Store, StreamRow};

use crate::journal::Journal;

/// What is left of a request that was decided: whoever waits for it is told what became of it.
pub type Done = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// A batch is written once it has so many bytes, even if more requests wait.
const BATCH: usize = 4 * 1024 * 1024;

/// Takes requests as long as there are some and decides them, writes what they decided, and makes it readable. What
/// was changed; or why nothing was, and then nothing is readable of it. Readers are never kept waiting for the disk.
///
/// Nobody is told before `published` is called with the changed streams.
pub fn commit<R>(
    store: &RwLock<Option<Store>>,
    journal: &mut Journal,
    mut next: impl FnMut() -> Option<R>,
    decide: impl Fn(R, &mut Draft<'_>) -> Done,
    published: impl FnOnce(&[StreamRow]),
) {
    let mut answers = Vec::new();
    let mut changes = Vec::new();
    let closed = {
        let store = store.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.as_ref() {
            let mut draft = Draft::new(store);
            let mut bytes = 0;
            while bytes < BATCH
                && let Some(request) = next()
            {
                answers.push(decide(request, &mut draft));
                if let Some(change) = draft.take() {
                    bytes += change.records.iter().map(|record| record.encoded.len()).sum::<usize>();
                    changes.push(change);
                }
            }
        }
        store.is_none()
    };
    let written = match (closed, changes.is_empty()) {
        (true, _) => Err(StorageError::Failed("the store is closed".to_owned())),
        (false, true) => Ok(()),
        (false, false) => journal.write(&mut changes),
    };
    if written.is_ok() && !changes.is_empty() {
        let told: Vec<_> = changes.iter().flat_map(|change| change.streams.iter().cloned()).collect();
        if let Some(store) = store.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            for change in changes {
                store.apply(change);
            }
        }
        published(&told);
    }
    for answer in answers {
        answer(written.clone());
    }
}
