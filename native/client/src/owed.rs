//! Answers that somebody waits for.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Its result.
    Done(T),
    /// It panicked, or what was to pass its result on did.
    Panicked,
    /// It was given up before it came to a result.
    Lost,
}

/// Runs `call` and passes its outcome on with `give`, whatever becomes of it: whoever asked waits for ever else.
///
/// `give` is called a second time, with [`Outcome::Panicked`], when it panicked over a result.
pub fn settle<T, G: Fn(Outcome<T>)>(call: impl Future<Output = T>, give: G) -> impl Future<Output = ()> {
    let mut debt = Debt { give: Some(give), give_up: |give| give(Outcome::Lost) };
    async move {
        let result = AssertUnwindSafe(call).catch_unwind().await;
        let Some(give) = debt.give.take() else { return };
        let passed_on = result.is_ok_and(|result| guarded(|| give(Outcome::Done(result))));
        if !passed_on {
            guarded(|| give(Outcome::Panicked));
        }
    }
}

fn guarded(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_ok()
}

struct Debt<G> {
    give: Option<G>,
    give_up: fn(&G),
}

impl<G> Drop for Debt<G> {
    fn drop(&mut self) {
        if let Some(give) = self.give.take() {
            guarded(|| (self.give_up)(&give));
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what it is given; panics over results if it is told to.
    fn given<'a>(all: &'a Mutex<Vec<Outcome<u8>>>, panics: bool) -> impl Fn(Outcome<u8>) + 'a {
        move |outcome| {
            if panics && matches!(outcome, Outcome::Done(_)) {
                panic!("this cannot be encoded");
            }
            all.lock().unwrap().push(outcome);
        }
    }

    #[tokio::test]
    async fn a_result_is_given_once() {
        let all = Mutex::default();
        settle(async { 7 }, given(&all, false)).await;
        assert_eq!(*all.lock().unwrap(), [Outcome::Done(7)]);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_answered() {
        let all = Mutex::default();
        settle(async { panic!("no") }, given(&all, false)).await;
        assert_eq!(*all.lock().unwrap(), [Outcome::Panicked]);
    }

    #[tokio::test]
    async fn a_panic_while_the_answer_is_made_is_answered() {
        let all = Mutex::default();
        settle(async { 7 }, given(&all, true)).await;
        assert_eq!(*all.lock().unwrap(), [Outcome::Panicked]);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_before_or_while_it_runs_is_answered() {
        let all = Mutex::default();
        drop(settle(std::future::pending(), given(&all, false)));
        let mut running = Box::pin(settle(std::future::pending(), given(&all, false)));
        assert_eq!((&mut running).now_or_never(), None);
        drop(running);
        assert_eq!(*all.lock().unwrap(), [Outcome::Lost, Outcome::Lost]);
    }
}
