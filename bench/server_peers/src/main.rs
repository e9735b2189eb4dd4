//! What `bench/server` measures the server beside: UmaDB, SQLite, and the disk alone.
//!
//! ```text
//! server_peers umadb-server OPTION...                            UmaDB's own server, with its own options
//! server_peers umadb HOST:PORT CLIENTS CONNECTIONS MS            appends to it
//! server_peers sqlite FILE CLIENTS own|one|grouped MS            appends to a table, in this process
//! server_peers disk FILE MS                                      300 B written and synced again and again
//! ```
//!
//! Each append is one event of 100 B, and the next one of the same client waits until it is durable. Prints
//! `appends N ns N p50_ns N p99_ns N`.

mod disk;
mod run;
mod sqlite;
mod uma;

use std::path::Path;

use run::Failure;

/// The event's body, as the server's own client sends it.
pub const BODY: usize = 100;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = match words.as_slice() {
        ["umadb-server", options @ ..] => {
            let options = std::iter::once("umadb").chain(options.iter().copied());
            return umadb::parse_cli_options(options)
                .and_then(umadb::start_server_with_cli_options)
                .map_err(|error| error.to_string().into());
        }
        ["umadb", address, clients, connections, ms] => {
            uma::append(address, clients.parse()?, connections.parse()?, run::milliseconds(ms)?)?
        }
        ["sqlite", file, clients, way, ms] => {
            sqlite::append(Path::new(file), clients.parse()?, way, run::milliseconds(ms)?)?
        }
        ["disk", file, ms] => disk::append(Path::new(file), run::milliseconds(ms)?)?,
        _ => return Err("usage: server_peers umadb-server|umadb|sqlite|disk ARGUMENT...".into()),
    };
    println!("{ran}");
    Ok(())
}
