//! `penstock-server`: the embedded server as a process of its own.

mod arguments;
mod stderr;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Asked, USAGE};
use server::{Cluster, Options, Server};
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
        Ok(Asked::Start(options)) => done(serve(vec![*options])),
        Ok(Asked::Cluster(options, size)) => done(nodes(&options, size).and_then(serve)),
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

fn done(outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(std::io::stderr(), &format!("server: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What the nodes of a cluster are started with: ports one after another, unless each takes a free one.
fn nodes(options: &Options, size: usize) -> Result<Vec<Options>, Box<dyn std::error::Error>> {
    let cluster = Cluster::new();
    let ports = (0..size).map(|index| match options.address.port() {
        0 => Ok(0),
        port => u16::try_from(usize::from(port) + index).map_err(|_| "there are no such ports"),
    });
    let node = |port| {
        let address = SocketAddr::new(options.address.ip(), port);
        Options { address, cluster: Some(cluster.clone()), ..options.clone() }
    };
    ports.map(|port| Ok(node(port?))).collect()
}

fn serve(options: Vec<Options>) -> Result<(), Box<dyn std::error::Error>> {
    tracing::subscriber::set_global_default(stderr::Stderr)?;
    run(options)
}

#[tokio::main]
async fn run(options: Vec<Options>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut servers = Vec::with_capacity(options.len());
    for options in options {
        servers.push(Server::start(options).await?);
    }
    let mut out = std::io::stdout();
    for server in &servers {
        writeln!(out, "listening {}", server.local_addr())?;
    }
    if let Some(file) = servers.first().and_then(Server::ca_file) {
        writeln!(out, "ca {}", file.display())?;
    }
    out.flush()?;
    // Of a cluster, some may end before others.
    let all_ended = async {
        for server in &mut servers {
            server.ended().await?;
        }
        Ok::<_, server::Ended>(())
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = all_ended => return Ok(ended?),
    }
    for server in &servers {
        server.stop();
    }
    for server in servers {
        server.shutdown().await;
    }
    Ok(())
}
