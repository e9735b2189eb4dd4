//! What a connection is made with, decoded once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use wire::connection_string::{self, Endpoint, NodePreference, Secret};

use crate::tls::Tls;
use crate::unusable::Unusable;

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user of the server's.
    User {
        /// The name.
        name: String,
        /// The password.
        password: Secret,
    },
    /// Whoever has this token.
    Bearer(Secret),
}

/// Where the nodes of a cluster are, and which of them is used.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Who is asked first.
    pub(crate) seeds: Vec<Endpoint>,
    pub(crate) preference: NodePreference,
    /// How often they are asked before that is a failure.
    pub(crate) attempts: u32,
    /// How long to wait between two attempts.
    pub(crate) interval: Duration,
    /// How long a node may take to tell of the others.
    pub(crate) gossip_timeout: Duration,
}

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node, or the first of several.
    pub(crate) host: Endpoint,
    /// The nodes, where there may be several.
    pub(crate) cluster: Option<Cluster>,
    /// How connections are encrypted; `None`: not at all.
    pub(crate) tls: Option<Tls>,
    /// How long a short call may take; `None`: for ever.
    pub(crate) deadline: Option<Duration>,
    /// How long a connection may be quiet before it is asked for a sign of life; `None`: never asked.
    pub(crate) ping_after: Option<Duration>,
    /// How long that sign may take; `None`: for ever.
    pub(crate) pong_within: Option<Duration>,
    /// What every call says of itself.
    pub(crate) metadata: Arc<Metadata>,
}

impl Settings {
    /// What a connection string says. Reads the files that it names.
    ///
    /// # Errors
    /// For what cannot be used.
    pub fn of(said: &connection_string::Settings) -> Result<Self, Unusable> {
        let [host, others @ ..] = said.hosts.as_slice() else {
            return Err(Unusable::Address(String::new(), "there is none".into()));
        };
        let cluster = (said.discover || !others.is_empty()).then(|| Cluster {
            seeds: said.hosts.clone(),
            preference: said.node_preference,
            attempts: said.max_discover_attempts,
            interval: said.discovery_interval,
            gossip_timeout: said.gossip_timeout,
        });
        Ok(Self {
            host: host.clone(),
            tls: Tls::of(said)?,
            deadline: said.default_deadline,
            ping_after: said.keep_alive_interval,
            pong_within: said.keep_alive_timeout,
            metadata: Arc::new(Metadata::of(said, cluster.as_ref())?),
            cluster,
        })
    }
}

/// What every call says of who makes it, and to whom. Credentials are marked as such, so that nothing shows them by
/// accident.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    authorization: Option<AsciiMetadataValue>,
    connection_name: Option<AsciiMetadataValue>,
    /// Another node than the leader refuses the call.
    requires_leader: bool,
}

impl Metadata {
    fn of(said: &connection_string::Settings, cluster: Option<&Cluster>) -> Result<Self, Unusable> {
        let user = said.credentials.as_ref().map(|user| {
            authorization(&Credentials::User { name: user.user.clone(), password: user.password.clone() })
        });
        let name = said
            .connection_name
            .as_ref()
            .map(|name| AsciiMetadataValue::try_from(name).map_err(|_| Unusable::Metadata("connectionName")));
        Ok(Self {
            authorization: user.transpose()?,
            connection_name: name.transpose()?,
            requires_leader: cluster.is_some_and(|cluster| cluster.preference == NodePreference::Leader),
        })
    }

    pub(crate) fn with_credentials(&self, credentials: &Credentials) -> Result<Self, Unusable> {
        Ok(Self { authorization: Some(authorization(credentials)?), ..self.clone() })
    }

    pub(crate) fn put_into(&self, map: &mut MetadataMap) {
        let values = [("authorization", &self.authorization), ("connection-name", &self.connection_name)];
        for (name, value) in values {
            if let Some(value) = value {
                map.insert(name, value.clone());
            }
        }
        if self.requires_leader {
            map.insert("requires-leader", AsciiMetadataValue::from_static("true"));
        }
    }
}

fn authorization(credentials: &Credentials) -> Result<AsciiMetadataValue, Unusable> {
    let (said, what) = match credentials {
        Credentials::User { name, password } => {
            let pair = format!("{name}:{}", password.expose());
            (format!("Basic {}", BASE64.encode(pair)), "user:password")
        }
        Credentials::Bearer(token) => (format!("Bearer {}", token.expose()), "a bearer token"),
    };
    let mut value = AsciiMetadataValue::try_from(said).map_err(|_| Unusable::Metadata(what))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use wire::connection_string::ConnectionString;

    use super::*;

    #[test]
    fn settings_show_no_password() {
        let said = ConnectionString::parse("esdb://admin:changeit@localhost?tls=false").unwrap();
        let shown = format!("{:?}", Settings::of(&said).unwrap());
        let encoded = BASE64.encode("admin:changeit");
        assert!(!shown.contains("changeit") && !shown.contains(&encoded), "{shown}");
    }
}
