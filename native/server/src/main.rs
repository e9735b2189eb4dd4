//! `penstock-server`: the embedded server as a process of its own.

mod arguments;
mod stderr;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Asked, USAGE};
use server::{Options, Server};
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a command that was called wrongly.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Help) => {
            say(std::io::stdout(), USAGE);
            ExitCode::SUCCESS
        }
        Ok(Asked::Check(folder)) => check(&folder),
        Ok(Asked::Start(options)) => match serve(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(std::io::stderr(), &format!("server: {error}\n"));
                ExitCode::FAILURE
            }
        },
        Err(wrong) => {
            say(std::io::stderr(), &format!("server: {wrong}\n\n{USAGE}"));
            ExitCode::from(MISUSED)
        }
    }
}

/// Whoever called may not listen any more.
fn say(mut to: impl std::io::Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Damage is said on stderr, all else on stdout.
fn check(folder: &Path) -> ExitCode {
    match server::check(folder) {
        Ok(found) => {
            say(std::io::stdout(), &lines("", &found.whole));
            say(std::io::stderr(), &lines("damaged: ", &found.damaged));
            if found.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let folder = folder.display();
            say(std::io::stderr(), &format!("server: data folder {folder} cannot be checked: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn lines(before: &str, lines: &[String]) -> String {
    lines.iter().map(|line| format!("{before}{line}\n")).collect()
}

fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    tracing::subscriber::set_global_default(stderr::Stderr)?;
    run(options)
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut server = Server::start(options).await?;
    let mut out = std::io::stdout();
    writeln!(out, "listening {}", server.local_addr())?;
    if let Some(file) = server.ca_file() {
        writeln!(out, "ca {}", file.display())?;
    }
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = server.ended() => return Ok(ended?),
    }
    server.shutdown().await;
    Ok(())
}
