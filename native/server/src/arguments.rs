//! What `penstock-server` is called with.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use server::{Advertised, Fsync, Options, SEGMENT, SEGMENTS, Storage};

/// What the command says of itself.
pub const USAGE: &str = "\
usage: server [--port N] [--data DIR [--fsync WHEN] [--segment BYTES] | --memory]
              [--advertise HOST[:PORT]]
       server --check DIR

An EventStoreDB-compatible server on 127.0.0.1.

  --port N       listen on port N (default 2113; 0 takes a free one)
  --data DIR     keep events in the folder DIR, which is made if there is none
  --fsync WHEN   acknowledge an append when the disk has it (group, the default;
                 appends that wait are synced together), or already when the
                 operating system has it (never: what was acknowledged outlives the
                 server, but perhaps not the machine)
  --segment BYTES
                 begin another file of the log where one would become longer than
                 BYTES, from 4096 to 1073741824 (default 67108864, which is 64 MiB).
                 More and smaller files, each with its index, are more to look at
                 for every read; what is there stays as it is
  --memory       keep events in memory until the server ends (the default)
  --advertise HOST[:PORT]
                 tell clients that the server is at HOST, a name or an IP address,
                 and PORT (default: where it listens)
  --check DIR    read everything in the folder DIR and change nothing: say what is
                 whole, and what is damaged and where. Ends with 0 if all is whole.
                 No server may have the folder open
  --help         show this

Prints `listening 127.0.0.1:PORT` once it answers, and ends on SIGTERM or SIGINT.
";

/// What is asked for.
#[derive(Debug)]
pub enum Asked {
    /// A server.
    Start(Options),
    /// To read all that is in a folder.
    Check(PathBuf),
    /// The text above.
    Help,
}

/// Reads the arguments.
///
/// # Errors
/// A sentence that names the argument, what it got and what it takes.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let (mut port, mut data, mut memory, mut advertise) = (2113, None, false, None);
    let (mut fsync, mut segment, mut check, mut given) = (None, None, None, 0);
    while let Some(argument) = arguments.next() {
        given += 1;
        // What is not UTF-8 is no option; it may be the name of a folder.
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Asked::Help),
            Some("--memory") => memory = true,
            Some(option @ "--port") => {
                let takes = "a number from 0 to 65535";
                let value = value(option, takes, &mut arguments)?;
                let number = value.to_str().and_then(|text| text.parse::<u16>().ok());
                port = number.ok_or_else(|| format!("--port takes {takes}, not {value:?}"))?;
            }
            Some(option @ "--data") => {
                let value = value(option, "a folder", &mut arguments)?;
                data = Some(PathBuf::from(value));
            }
            Some(option @ "--fsync") => {
                let value = value(option, "group or never", &mut arguments)?;
                fsync = Some(match value.to_str() {
                    Some("group") => Fsync::Group,
                    Some("never") => Fsync::Never,
                    _ => return Err(format!("--fsync takes group or never, not {value:?}")),
                });
            }
            Some(option @ "--segment") => {
                let takes = format!("a number of bytes from {} to {}", SEGMENTS.start(), SEGMENTS.end());
                let value = value(option, &takes, &mut arguments)?;
                let number = value.to_str().and_then(|text| text.parse::<u64>().ok());
                let number = number.filter(|number| SEGMENTS.contains(number));
                segment = Some(number.ok_or_else(|| format!("--segment takes {takes}, not {value:?}"))?);
            }
            Some(option @ "--check") => {
                check = Some(PathBuf::from(value(option, "a folder", &mut arguments)?));
            }
            Some(option @ "--advertise") => {
                let value = value(option, "HOST or HOST:PORT", &mut arguments)?;
                let address = value.to_string_lossy().parse::<Advertised>();
                advertise = Some(address.map_err(|refused| format!("--advertise takes {refused}"))?);
            }
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    match (check, given) {
        (Some(folder), 1) => return Ok(Asked::Check(folder)),
        (Some(_), _) => return Err("--check goes with no other option".to_owned()),
        (None, _) => {}
    }
    if fsync.is_some() && data.is_none() {
        return Err("--fsync needs --data".to_owned());
    }
    if segment.is_some() && data.is_none() {
        return Err("--segment needs --data".to_owned());
    }
    let storage = match (data, memory) {
        (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
        (Some(folder), false) => Storage::Disk(folder),
        (None, _) => Storage::Memory,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (fsync, segment) = (fsync.unwrap_or_default(), segment.unwrap_or(SEGMENT));
    Ok(Asked::Start(Options { fsync, segment, advertise, ..Options::new(address, storage) }))
}

/// The value of an option. One that looks like another option is rather a value that was forgotten.
fn value(
    option: &str,
    takes: &str,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, String> {
    let value = arguments.next().filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| format!("{option} needs {takes}"))?;
    if looks_like_an_option(&value) {
        return Err(format!("{option} needs {takes}, but is followed by {value:?}"));
    }
    Ok(value)
}

fn looks_like_an_option(value: &OsStr) -> bool {
    value.as_encoded_bytes().starts_with(b"--")
}
