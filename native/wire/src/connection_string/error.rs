//! What can be wrong with a connection string. None of the texts repeats a password.

use super::{MOST_BYTES, SCHEMES, keys};

/// Why a connection string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// It is longer than one can be.
    #[error("the connection string has {bytes} bytes; it takes {MOST_BYTES} at most")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It does not begin with a scheme.
    #[error("the connection string has no scheme; it begins with one of {}", schemes())]
    MissingScheme,
    /// It begins with another scheme.
    #[error("the connection string's scheme is {got:?}; it takes one of {}", schemes())]
    UnknownScheme {
        /// The scheme.
        got: String,
    },
    /// There is no host, or one of several is empty.
    #[error("the connection string lacks a host; it takes host, host:port, or several of them with commas")]
    MissingHost,
    /// That is no host.
    #[error(
        "the connection string's host is {got:?}; it takes a name, an IPv4 address, or an IPv6 address in brackets"
    )]
    BadHost {
        /// What stands in its place.
        got: String,
    },
    /// The colons of an IPv6 address cannot be told from the one before the port.
    #[error(
        "the connection string's host {got:?} is an IPv6 address without brackets; it takes [address]:port"
    )]
    Brackets {
        /// What stands in its place.
        got: String,
    },
    /// That is no port.
    #[error("the port of the host {host:?} is {got}; it takes a number from 1 to 65535")]
    BadPort {
        /// The host.
        host: String,
        /// What stands in the port's place, if it is a number.
        got: String,
    },
    /// The user comes without a password.
    #[error("the connection string names a user without a password; it takes user:password@ before the host")]
    MissingPassword,
    /// The user or the password cannot be decoded.
    #[error(
        "the connection string's {part} cannot be read; it takes text that is not empty, with special characters percent-encoded"
    )]
    Userinfo {
        /// Which of the two.
        part: &'static str,
    },
    /// There is an @ behind the host.
    #[error(
        "the connection string has an @ after its host part; in a user or password write / ? # @ as %2F %3F %23 %40, in a value write @ as %40"
    )]
    StrayAt,
    /// There is something between the host and the question mark.
    #[error("the connection string has {got:?} after its host; it takes only ?key=value&key=value there")]
    Path {
        /// What stands there.
        got: String,
    },
    /// A key without a value.
    #[error("the connection string's key {key:?} has no value; it takes key=value")]
    MissingValue {
        /// The key.
        key: String,
    },
    /// A key that means nothing.
    #[error("the connection string has the unknown key {key:?}; it takes {}", keys::names())]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that stands there twice.
    #[error("the connection string has the key {key} more than once; it takes each key once")]
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// A value that the key does not take.
    #[error("the connection string's {key} is {got:?}; it takes {takes}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value.
        got: String,
        /// What it may be.
        takes: &'static str,
    },
    /// One of two keys that belong together.
    #[error("the connection string has {key} without {other}; it takes both or neither")]
    Alone {
        /// The key that is there.
        key: &'static str,
        /// The key that is missing.
        other: &'static str,
    },
}

fn schemes() -> String {
    SCHEMES.map(|scheme| format!("{scheme}://, {scheme}+discover://")).join(", ")
}
