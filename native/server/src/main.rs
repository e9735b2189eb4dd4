//! `penstock-server`: the embedded server as a process of its own.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use server::{Options, Server, Storage};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
usage: server [--port N] [--data DIR | --memory]

An EventStoreDB-compatible server on 127.0.0.1.

  --port N     listen on port N (default 2113; 0 takes a free one)
  --data DIR   keep events in the folder DIR, which is made if there is none
  --memory     keep events in memory until the server ends (the default)
  --help       show this

Prints `listening 127.0.0.1:PORT` once it answers, and ends on SIGTERM or SIGINT.
";

/// The exit status of a command that was called wrongly.
const MISUSED: u8 = 2;

enum Asked {
    Start(Options),
    Help,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Asked::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Asked::Start(options)) => match run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("server: {error}");
                ExitCode::FAILURE
            }
        },
        Err(wrong) => {
            eprint!("server: {wrong}\n\n{USAGE}");
            ExitCode::from(MISUSED)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut port = 2113;
    let (mut data, mut memory) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--memory" => memory = true,
            "--port" => {
                let value = arguments.next().ok_or("--port needs a number from 0 to 65535")?;
                port = value
                    .parse::<u16>()
                    .map_err(|_| format!("--port takes a number from 0 to 65535, not {value:?}"))?;
            }
            "--data" => {
                let value =
                    arguments.next().filter(|value| !value.is_empty()).ok_or("--data needs a folder")?;
                data = Some(PathBuf::from(value));
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let storage = match (data, memory) {
        (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
        (Some(folder), false) => Storage::Disk(folder),
        (None, _) => Storage::Memory,
    };
    Ok(Asked::Start(Options { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), storage }))
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::start(options).await?;
    println!("listening {}", server.local_addr());
    std::io::stdout().flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.shutdown().await;
    Ok(())
}
