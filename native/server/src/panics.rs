//! Panics, of this code or of a library, as values: they end what panicked and are told to who waits for it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;
use thiserror::Error;

/// What a panic said.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("panic: {0}")]
pub struct Panicked(String);

impl Panicked {
    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "without a text".to_owned(),
        };
        Self(text)
    }
}

/// Calls a function; what it may leave half done must not be used again.
pub fn caught<T>(function: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|payload| Panicked::of(payload.as_ref()))
}

/// Runs a future to its end; what it may leave half done must not be used again.
pub async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| Panicked::of(payload.as_ref()))
}
