//! The connection string: `scheme://user:password@host:port,host:port?key=value&key=value`.
//!
//! Whatever it may say is read and checked here; what the client cannot do with it yet, the client refuses.

mod error;
mod keys;
mod settings;

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

pub use error::ConnectionStringError;
pub use settings::{Credentials, Endpoint, NodePreference, Secret, Settings};

/// The port that is used when none is named.
pub const DEFAULT_PORT: u16 = 2113;

/// How long one may be, in bytes: more than a cluster with every key takes, and read in a moment.
pub const MOST_BYTES: usize = 16 * 1024;

const SCHEMES: [&str; 4] = ["esdb", "kurrentdb", "kurrent", "kdb"];

/// Reads connection strings.
#[derive(Debug)]
pub struct ConnectionString;

impl ConnectionString {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Settings, ConnectionStringError> {
        if text.len() > MOST_BYTES {
            return Err(ConnectionStringError::TooLong { bytes: text.len() });
        }
        let (scheme, rest) = text.trim().split_once("://").ok_or(ConnectionStringError::MissingScheme)?;
        let mut settings = Settings { discover: discover(scheme)?, ..Settings::default() };

        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        // What follows an unescaped / or ? of a password would be taken for a path or key, and be shown in an error.
        if tail.contains('@') {
            return Err(ConnectionStringError::StrayAt);
        }
        let hosts = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => {
                settings.credentials = Some(credentials(userinfo)?);
                hosts
            }
            None => authority,
        };
        settings.hosts = hosts.split(',').map(endpoint).collect::<Result<_, _>>()?;
        options(&mut settings, tail.strip_prefix('/').unwrap_or(tail))?;
        Ok(settings)
    }
}

fn discover(scheme: &str) -> Result<bool, ConnectionStringError> {
    let lower = scheme.to_ascii_lowercase();
    let (name, discover) = match lower.strip_suffix("+discover") {
        Some(name) => (name, true),
        None => (lower.as_str(), false),
    };
    if SCHEMES.contains(&name) {
        Ok(discover)
    } else {
        Err(ConnectionStringError::UnknownScheme { got: scheme.to_owned() })
    }
}

fn credentials(userinfo: &str) -> Result<Credentials, ConnectionStringError> {
    let (user, password) = userinfo.split_once(':').ok_or(ConnectionStringError::MissingPassword)?;
    let user = decode(user).ok_or(ConnectionStringError::Userinfo { part: "user" })?;
    let password = decode(password).ok_or(ConnectionStringError::Userinfo { part: "password" })?;
    if user.is_empty() {
        return Err(ConnectionStringError::Userinfo { part: "user" });
    }
    Ok(Credentials { user, password: Secret::new(password) })
}

/// `None` when a % begins no pair of hexadecimal digits, or when the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut after_percent = text.split('%').skip(1).map(str::as_bytes);
    let complete = after_percent
        .all(|part| part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if complete { percent_decode_str(text).decode_utf8().ok().map(Into::into) } else { None }
}

fn endpoint(text: &str) -> Result<Endpoint, ConnectionStringError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| ConnectionStringError::BadHost { got: text.to_owned() })?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(ConnectionStringError::BadHost { got: host.to_owned() });
            }
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(ConnectionStringError::BadHost { got: text.to_owned() }),
            }
        }
        None if is_bare_ipv6(text) => {
            return Err(ConnectionStringError::Brackets { got: text.to_owned() });
        }
        None => match text.split_once(':') {
            Some((host, port)) => (named(host)?, Some(port)),
            None => (named(text)?, None),
        },
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(bad_port(host, port)),
        },
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

/// Only an address, with or without a port behind it: other text with colons may be a user and a password.
fn is_bare_ipv6(text: &str) -> bool {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    address(text) || text.rsplit_once(':').is_some_and(|(host, _)| host.contains(':') && address(host))
}

fn named(host: &str) -> Result<&str, ConnectionStringError> {
    if host.is_empty() {
        Err(ConnectionStringError::MissingHost)
    } else if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        Ok(host)
    } else {
        Err(ConnectionStringError::BadHost { got: host.to_owned() })
    }
}

/// Only digits are repeated: other text may be the password of someone who forgot the host.
fn bad_port(host: &str, port: &str) -> ConnectionStringError {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    ConnectionStringError::BadPort {
        host: host.to_owned(),
        got: if digits { port.to_owned() } else { "something else".to_owned() },
    }
}

fn options(settings: &mut Settings, tail: &str) -> Result<(), ConnectionStringError> {
    let query = match tail.strip_prefix('?') {
        Some(query) => query,
        None if tail.is_empty() => return Ok(()),
        None => return Err(ConnectionStringError::Path { got: tail.to_owned() }),
    };
    let mut seen = BTreeSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| ConnectionStringError::MissingValue { key: pair.to_owned() })?;
        let key = keys::find(key)?;
        if !seen.insert(key.name) {
            return Err(ConnectionStringError::DuplicateKey { key: key.name });
        }
        let bad =
            || ConnectionStringError::BadValue { key: key.name, got: value.to_owned(), takes: key.takes };
        let decoded = decode(value).ok_or_else(bad)?;
        (key.set)(settings, &decoded).ok_or_else(bad)?;
    }
    match (&settings.user_cert_file, &settings.user_key_file) {
        (Some(_), None) => Err(ConnectionStringError::Alone { key: "userCertFile", other: "userKeyFile" }),
        (None, Some(_)) => Err(ConnectionStringError::Alone { key: "userKeyFile", other: "userCertFile" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
