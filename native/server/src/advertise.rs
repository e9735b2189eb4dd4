//! Where clients are told to find the server.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// The longest name that a host may have.
const MAX_HOST: usize = 253;

/// An address to be told to clients instead of the one that is listened on: a name or an IP address, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    host: String,
    port: Option<NonZeroU16>,
}

/// What is no such address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "HOST or HOST:PORT, a name or an IP address (IPv6 in brackets) and a port from 1 to 65535, not {0:?}"
)]
pub struct NotAdvertised(String);

impl Advertised {
    /// The name or the address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port as clients are told, for a server that listens here.
    pub(crate) fn or_listening(advertised: Option<&Self>, listening: SocketAddr) -> (String, u16) {
        match advertised {
            Some(Self { host, port }) => (host.clone(), port.map_or(listening.port(), NonZeroU16::get)),
            None => (listening.ip().to_string(), listening.port()),
        }
    }
}

impl FromStr for Advertised {
    type Err = NotAdvertised;

    fn from_str(text: &str) -> Result<Self, NotAdvertised> {
        parse(text).ok_or_else(|| NotAdvertised(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Advertised> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(port(rest.strip_prefix(':')?)?) };
        return Some(Advertised { host: ip.parse::<Ipv6Addr>().ok()?.to_string(), port });
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Some(Advertised { host: ip.to_string(), port: None });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, number)) => (host, Some(port(number)?)),
        None => (text, None),
    };
    let named = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    (!host.is_empty() && host.len() <= MAX_HOST && host.chars().all(named))
        .then(|| Advertised { host: host.to_owned(), port })
}

fn port(text: &str) -> Option<NonZeroU16> {
    text.chars().all(|character| character.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports_are_told_and_without_one_the_port_listened_on() {
        let listening = "127.0.0.1:2113".parse().unwrap();
        for (text, host, port) in [
            ("events.example.com", "events.example.com", 2113),
            ("localhost:3113", "localhost", 3113),
            ("10.0.0.7:1", "10.0.0.7", 1),
            ("[::1]", "::1", 2113),
            ("[fe80::1]:65535", "fe80::1", 65_535),
            ("::1", "::1", 2113),
        ] {
            let advertised: Advertised = text.parse().unwrap();
            assert_eq!(Advertised::or_listening(Some(&advertised), listening), (host.to_owned(), port));
        }
        assert_eq!(Advertised::or_listening(None, listening), ("127.0.0.1".to_owned(), 2113));
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        let long = "x".repeat(254);
        for text in [
            "", ":1", "h:", "h:0", "h:65536", "h:+1", "h:1:2", "a b", "http://h", "h/", "[::1", "[h]:1", "ä",
            &long,
        ] {
            let refused = text.parse::<Advertised>().unwrap_err();
            assert!(refused.to_string().contains(&format!("{text:?}")), "{refused}");
        }
    }
}
