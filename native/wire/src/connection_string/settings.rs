//! What a connection string says, as plain data.

use std::fmt;
use std::time::Duration;

/// How to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to connect to; never empty.
    pub hosts: Vec<Endpoint>,
    /// Whether the hosts are names behind which a cluster's nodes are found.
    pub discover: bool,
    /// Who connects.
    pub credentials: Option<Credentials>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether the server's certificate is checked.
    pub tls_verify_cert: bool,
    /// A file of certificates to check the server's against.
    pub tls_ca_file: Option<String>,
    /// The client's own certificate; only together with its key.
    pub user_cert_file: Option<String>,
    /// The key of the client's own certificate.
    pub user_key_file: Option<String>,
    /// How often a node is looked for before giving up.
    pub max_discover_attempts: u32,
    /// How long to wait between two attempts.
    pub discovery_interval: Duration,
    /// How long a node may take to tell of the others.
    pub gossip_timeout: Duration,
    /// Which node of a cluster is used.
    pub node_preference: NodePreference,
    /// How long a connection may be quiet before it is asked for a sign of life; `None`: never asked.
    pub keep_alive_interval: Option<Duration>,
    /// How long that sign may take; `None`: for ever.
    pub keep_alive_timeout: Option<Duration>,
    /// How long a call with one answer may take; `None`: for ever.
    pub default_deadline: Option<Duration>,
    /// What the server calls this connection.
    pub connection_name: Option<String>,
    /// Whether a refused append is an error; here it always is, so this is only taken.
    pub throw_on_append_failure: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let ten_seconds = Some(Duration::from_secs(10));
        Self {
            hosts: Vec::new(),
            discover: false,
            credentials: None,
            tls: true,
            tls_verify_cert: true,
            tls_ca_file: None,
            user_cert_file: None,
            user_key_file: None,
            max_discover_attempts: 10,
            discovery_interval: Duration::from_millis(100),
            gossip_timeout: Duration::from_secs(5),
            node_preference: NodePreference::Leader,
            keep_alive_interval: ten_seconds,
            keep_alive_timeout: ten_seconds,
            default_deadline: ten_seconds,
            connection_name: None,
            throw_on_append_failure: true,
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address; an IPv6 address stands without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Text that neither `Debug` nor anything else shows by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Which node of a cluster is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePreference {
    /// The leader.
    Leader,
    /// A follower, if there is one.
    Follower,
    /// Any node.
    Random,
    /// A read-only replica, if there is one.
    ReadOnlyReplica,
}
