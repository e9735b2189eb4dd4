//! Group commit: many requests are decided, written together, made readable, and then answered.

use std::sync::{PoisonError, RwLock};

use store_core::{Answer, Decision, Draft, Fault, Store, StreamRow, Write};

use crate::journal::Journal;

/// A request that waits to be written.
pub trait Request {
    /// Decides it.
    ///
    /// # Errors
    /// When it is refused; it changes nothing then.
    fn decide(&self, draft: &Draft<'_>) -> Result<Decision<Answer>, Fault>;

    /// Tells whoever waits for it what became of it.
    fn answer(self, outcome: Result<Answer, Fault>);
}

/// A batch is written once it has so many bytes, even if more requests wait.
const BATCH: usize = 4 * 1024 * 1024;

/// Takes requests as long as there are some and decides them, writes what they decided, and makes it readable. What
/// was changed; or why nothing was, and then nothing is readable of it. Readers are never kept waiting for the disk.
///
/// Nobody is told before `published` is called with the changed streams.
pub fn commit<R: Request>(
    store: &RwLock<Option<Store>>,
    journal: &mut Journal,
    next: impl FnMut() -> Option<R>,
    published: impl FnOnce(&[StreamRow]),
) {
    let decided =
        store.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|store| decide(store, next));
    // Requests are not taken from where they wait when nobody can decide them.
    let Some(Decided { answers, mut changes }) = decided else { return };
    let written = if changes.is_empty() { Ok(()) } else { journal.write(&mut changes) };
    if written.is_ok() && !changes.is_empty() {
        let told: Vec<_> = changes.iter().flat_map(|change| change.streams.iter().cloned()).collect();
        if let Some(store) = store.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            for change in changes {
                store.apply(change);
            }
        }
        published(&told);
    }
    for (request, answer) in answers {
        request.answer(written.clone().map_err(Fault::Storage).and(answer));
    }
}

/// Requests with what they are answered once the changes are kept, and the changes.
struct Decided<R> {
    answers: Vec<(R, Result<Answer, Fault>)>,
    changes: Vec<Write>,
}

fn decide<R: Request>(store: &Store, mut next: impl FnMut() -> Option<R>) -> Decided<R> {
    let mut decided = Decided { answers: Vec::new(), changes: Vec::new() };
    let mut draft = Draft::new(store);
    let (mut included, mut bytes) = (0, 0);
    while bytes < BATCH
        && let Some(request) = next()
    {
        // Only now: whoever is alone has nobody before it.
        for change in decided.changes.get(included..).unwrap_or_default() {
            draft.include(change);
        }
        included = decided.changes.len();
        let answer = request.decide(&draft).map(|Decision { answer, write }| {
            bytes += write
                .iter()
                .flat_map(|write| &write.records)
                .map(|record| record.encoded.len())
                .sum::<usize>();
            decided.changes.extend(write);
            answer
        });
        decided.answers.push((request, answer));
    }
    decided
}
