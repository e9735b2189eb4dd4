//! Waiting for what may not be under way.

use std::future::pending;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

/// What a step comes to; for ever where there is none.
pub(crate) async fn option<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// Until then; for ever where there is no such time.
pub(crate) async fn time(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}
