//! Judging events by a filter: never on the threads that carry sockets, unless it takes next to nothing.
//!
//! A regular expression may take milliseconds for one event. So expressions are judged on threads of their own, few at
//! a time and in turns, and a client that went away is noticed between two events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::vec;

use store_core::Pair;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::fault;
use crate::filter::Filter;

/// How many filters are judged at the same time; the others wait for their turn.
static TURNS: Semaphore = Semaphore::const_new(2);
/// How long a turn lasts, and one event more.
const TURN: Duration = Duration::from_millis(10);

/// An event, and whether it fits.
pub type Judged = (Pair, bool);

/// Judges events.
///
/// When one cannot be judged, there are the events before it, and the reason.
pub async fn judge(filter: &Arc<Filter>, events: Vec<Pair>) -> (Vec<Judged>, Option<Status>) {
    let mut work =
        Work { filter: filter.clone(), judged: Vec::with_capacity(events.len()), events: events.into_iter() };
    if work.filter.is_quick() {
        let failed = work.judge(&AtomicBool::new(false), None);
        // Whoever looks for little in a long log goes through it without a pause.
        tokio::task::yield_now().await;
        return (work.judged, failed);
    }
    let gone = Gone(Arc::new(AtomicBool::new(false)));
    while !work.events.as_slice().is_empty() {
        let Ok(turn) = TURNS.acquire().await else { return (work.judged, Some(fault::handler())) };
        let cancelled = gone.0.clone();
        let judging = tokio::task::spawn_blocking(move || {
            // Held until the thread is done, also when nobody waits for it any more.
            let _turn = turn;
            let failed = work.judge(&cancelled, Some(Instant::now() + TURN));
            (work, failed)
        });
        let failed;
        (work, failed) = match judging.await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a filter failed");
                return (Vec::new(), Some(fault::handler()));
            }
        };
        if failed.is_some() {
            return (work.judged, failed);
        }
    }
    (work.judged, None)
}

/// Says that nobody waits for the outcome any more, when it is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Work {
    filter: Arc<Filter>,
    events: vec::IntoIter<Pair>,
    judged: Vec<Judged>,
}

impl Work {
    /// Judges until all are judged, the time is over, one cannot be judged or nobody wants to know.
    fn judge(&mut self, cancelled: &AtomicBool, until: Option<Instant>) -> Option<Status> {
        while !cancelled.load(Ordering::Acquire) {
            let Some(event) = self.events.next() else { break };
            match self.filter.fits(&event) {
                Ok(fits) => self.judged.push((event, fits)),
                Err(failed) => return Some(failed),
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        None
    }
}
