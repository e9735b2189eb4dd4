//! What `penstock-server` is called with.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use server::{Advertised, Fsync, Options, SEGMENT, SEGMENTS, Storage, Tls};

/// The port that clients try first.
const PORT: u16 = 2113;
/// How many nodes a cluster may have.
const NODES: RangeInclusive<usize> = 2..=9;

/// What the command says of itself.
pub const USAGE: &str = "\
usage: server [--port N] [--data DIR [--fsync WHEN] [--segment BYTES] | --memory]
              [--advertise HOST[:PORT]] [--insecure | [--tls CERT KEY | --tls self-made]
              [--users]] [--system-projections] [--cluster N]
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
  --insecure     take calls that are not encrypted, from everybody (the default)
  --tls CERT KEY take encrypted calls only, with the certificates in the file CERT,
                 the server's own first, and the key in the file KEY (PEM)
  --tls self-made
                 the same with a certificate that is made now, for localhost,
                 127.0.0.1, ::1 and the advertised host. Clients trust the one in
                 the file that is named, which lasts as long as the server
  --users        take calls only from users. At first there are admin and ops, each
                 with the password changeit; without --tls passwords can be read
                 on the way
  --system-projections
                 keep the streams $ce-CATEGORY, $et-TYPE, $streams and
                 $category-CATEGORY: links to what is appended
  --cluster N    be a cluster of N nodes, from 2 to 9, on as many ports from --port
                 on, in this one process and in memory: for tests of clients. One of
                 them leads; `POST /admin/node/resign` and `/admin/shutdown` say
                 otherwise
  --check DIR    read everything in the folder DIR and change nothing: say what is
                 whole, and what is damaged and where. Ends with 0 if all is whole.
                 No server may have the folder open
  --help         show this

Prints `listening 127.0.0.1:PORT` once it answers, for each node, then `ca FILE` if it made a
certificate, and ends on SIGTERM or SIGINT.
";

/// What is asked for.
pub enum Asked {
    /// A server.
    Start(Box<Options>),
    /// A cluster of so many.
    Cluster(Box<Options>, usize),
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
    let (mut given, mut count) = (Given::default(), 0);
    while let Some(argument) = arguments.next() {
        count += 1;
        // What is not UTF-8 is no option; it may be the name of a folder.
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Asked::Help),
            Some(option) => given.take(option, &mut arguments)?,
            None => return Err(unknown(&argument)),
        }
    }
    match (given.check.take(), count) {
        (Some(folder), 1) => Ok(Asked::Check(folder)),
        (Some(_), _) => Err("--check goes with no other option".to_owned()),
        (None, _) => match given.cluster {
            Some(size) => given.options().map(|options| Asked::Cluster(Box::new(options), size)),
            None => given.options().map(|options| Asked::Start(Box::new(options))),
        },
    }
}

/// What was given so far.
#[derive(Default)]
struct Given {
    port: Option<u16>,
    data: Option<PathBuf>,
    memory: bool,
    fsync: Option<Fsync>,
    segment: Option<u64>,
    advertise: Option<Advertised>,
    insecure: bool,
    tls: Option<Certificate>,
    users: bool,
    system_projections: bool,
    cluster: Option<usize>,
    check: Option<PathBuf>,
}

/// With what to encrypt.
enum Certificate {
    SelfMade,
    Files { certificate: PathBuf, key: PathBuf },
}

impl Given {
    /// One option, and its values.
    fn take(&mut self, option: &str, arguments: &mut impl Iterator<Item = OsString>) -> Result<(), String> {
        match option {
            "--memory" => self.memory = true,
            "--insecure" => self.insecure = true,
            "--users" => self.users = true,
            "--system-projections" => self.system_projections = true,
            "--cluster" => self.cluster = Some(number(option, NODES, "number of nodes", arguments)?),
            "--port" => self.port = Some(number(option, 0..=65_535, "number", arguments)?),
            "--data" => self.data = Some(PathBuf::from(value(option, "a folder", arguments)?)),
            "--fsync" => {
                let value = value(option, "group or never", arguments)?;
                self.fsync = Some(match value.to_str() {
                    Some("group") => Fsync::Group,
                    Some("never") => Fsync::Never,
                    _ => return Err(format!("--fsync takes group or never, not {value:?}")),
                });
            }
            "--segment" => self.segment = Some(number(option, SEGMENTS, "number of bytes", arguments)?),
            "--advertise" => {
                let value = value(option, "HOST or HOST:PORT", arguments)?;
                let address = value.to_string_lossy().parse::<Advertised>();
                self.advertise = Some(address.map_err(|refused| format!("--advertise takes {refused}"))?);
            }
            "--tls" => {
                let certificate = value(option, "self-made, or a certificate and its key", arguments)?;
                self.tls = Some(match certificate.to_str() {
                    Some("self-made") => Certificate::SelfMade,
                    _ => Certificate::Files {
                        certificate: PathBuf::from(certificate),
                        key: PathBuf::from(value(option, "the key of the certificate as well", arguments)?),
                    },
                });
            }
            "--check" => self.check = Some(PathBuf::from(value(option, "a folder", arguments)?)),
            _ => return Err(unknown(OsStr::new(option))),
        }
        Ok(())
    }

    /// What to start a server with, if it goes together.
    fn options(self) -> Result<Options, String> {
        for (given, option) in [(self.fsync.is_some(), "--fsync"), (self.segment.is_some(), "--segment")] {
            if given && self.data.is_none() {
                return Err(format!("{option} needs --data"));
            }
        }
        for (given, option) in [(self.tls.is_some(), "--tls"), (self.users, "--users")] {
            if given && self.insecure {
                return Err(format!("--insecure and {option} exclude each other"));
            }
        }
        if self.cluster.is_some() && self.data.is_some() {
            return Err("--cluster and --data exclude each other: clusters are for tests".to_owned());
        }
        let storage = match (self.data, self.memory) {
            (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
            (Some(folder), false) => Storage::Disk(folder),
            (None, _) => Storage::Memory,
        };
        let tls = match self.tls {
            Some(Certificate::SelfMade) => {
                let name = self.advertise.as_ref().map(Advertised::host);
                Some(Tls::self_made(name).map_err(|error| error.to_string())?)
            }
            Some(Certificate::Files { certificate, key }) => Some(Tls::Files { certificate, key }),
            None => None,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.unwrap_or(PORT)));
        Ok(Options {
            fsync: self.fsync.unwrap_or_default(),
            segment: self.segment.unwrap_or(SEGMENT),
            advertise: self.advertise,
            tls,
            users: self.users,
            system_projections: self.system_projections,
            ..Options::new(address, storage)
        })
    }
}

fn unknown(argument: &OsStr) -> String {
    format!("unknown argument {argument:?}")
}

/// A number within bounds.
fn number<N: FromStr + PartialOrd + Display>(
    option: &str,
    bounds: RangeInclusive<N>,
    what: &str,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<N, String> {
    let takes = format!("a {what} from {} to {}", bounds.start(), bounds.end());
    let value = value(option, &takes, arguments)?;
    let number = value.to_str().and_then(|text| text.parse().ok());
    let number = number.filter(|number| bounds.contains(number));
    number.ok_or_else(|| format!("{option} takes {takes}, not {value:?}"))
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
