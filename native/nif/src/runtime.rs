//! The tokio runtimes of the loaded library, each started on first use.
//!
//! An embedded server has threads of its own: however busy it is, or its disk, nobody who reads in the same VM waits
//! for it. Threads that nobody uses sleep.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime, or why it could not be started.
type Started = OnceLock<Result<Runtime, io::ErrorKind>>;

static CLIENTS: Started = OnceLock::new();
static SERVERS: Started = OnceLock::new();

/// Two threads carry sockets and frame assembly; everything heavier runs on the BEAM's own schedulers.
const CLIENT_WORKERS: usize = 2;
/// Two threads: one that waits for a disk does not keep others from being answered.
const SERVER_WORKERS: usize = 2;

/// The runtime of everything but servers.
///
/// # Errors
/// Why it could not be started.
pub fn handle() -> Result<&'static Handle, io::ErrorKind> {
    started(&CLIENTS, "penstock", CLIENT_WORKERS)
}

/// The runtime of the embedded servers.
///
/// # Errors
/// Why it could not be started.
pub fn of_servers() -> Result<&'static Handle, io::ErrorKind> {
    started(&SERVERS, "penstock-server", SERVER_WORKERS)
}

fn started(runtime: &'static Started, name: &str, workers: usize) -> Result<&'static Handle, io::ErrorKind> {
    let build = || Builder::new_multi_thread().worker_threads(workers).thread_name(name).enable_all().build();
    match runtime.get_or_init(|| build().map_err(|error| error.kind())) {
        Ok(runtime) => Ok(runtime.handle()),
        Err(kind) => Err(*kind),
    }
}
