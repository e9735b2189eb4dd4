//! The one tokio runtime of the loaded library, started on first use.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceLock<Result<Runtime, io::ErrorKind>> = OnceLock::new();

/// Two threads carry sockets and frame assembly; everything heavier runs on the BEAM's own schedulers.
const WORKERS: usize = 2;

/// The runtime, or why it could not be started.
pub fn handle() -> Result<&'static Handle, io::ErrorKind> {
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("penstock")
            .enable_all()
            .build()
            .map_err(|error| error.kind())
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(kind) => Err(*kind),
    }
}
