//! What a connection is made with, decoded once.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tonic::metadata::AsciiMetadataValue;
use wire::connection_string;

/// What a connection string asks for that this client does not do yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Encrypted connections.
    #[error("connection string: tls=true (the default) is not supported yet; it takes tls=false")]
    Tls,
    /// Discovery of a cluster's nodes.
    #[error("connection string: {0} is not supported yet; it takes one host without +discover")]
    Discovery(&'static str),
    /// A text that cannot travel as metadata of a call.
    #[error("connection string: {0} takes visible ASCII characters")]
    Metadata(&'static str),
    /// The address cannot be used.
    #[error("connection string: the address {0} cannot be connected to: {1}")]
    Address(String, String),
}

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node, `host:port`.
    pub(crate) address: String,
    /// How long a short call may take; `None`: for ever.
    pub(crate) deadline: Option<Duration>,
    /// How long a connection may be quiet before it is asked for a sign of life; `None`: never asked.
    pub(crate) ping_after: Option<Duration>,
    /// How long that sign may take; `None`: for ever.
    pub(crate) pong_within: Option<Duration>,
    /// What every call says of who makes it. Credentials are marked as such, so that nothing shows them by accident.
    pub(crate) metadata: Vec<(&'static str, AsciiMetadataValue)>,
}

impl Settings {
    /// What a connection string says.
    ///
    /// # Errors
    /// For what is not done yet, and what cannot be.
    pub fn of(said: &connection_string::Settings) -> Result<Self, Unsupported> {
        if said.tls {
            return Err(Unsupported::Tls);
        }
        if said.discover {
            return Err(Unsupported::Discovery("+discover"));
        }
        let [host] = said.hosts.as_slice() else {
            return Err(Unsupported::Discovery("a list of hosts"));
        };
        Ok(Self {
            address: host.to_string(),
            deadline: said.default_deadline,
            ping_after: said.keep_alive_interval,
            pong_within: said.keep_alive_timeout,
            metadata: metadata(said)?,
        })
    }
}

fn metadata(
    said: &connection_string::Settings,
) -> Result<Vec<(&'static str, AsciiMetadataValue)>, Unsupported> {
    let mut metadata = Vec::new();
    if let Some(credentials) = &said.credentials {
        let pair = format!("{}:{}", credentials.user, credentials.password.expose());
        let basic = format!("Basic {}", BASE64.encode(pair));
        let mut value =
            AsciiMetadataValue::try_from(basic).map_err(|_| Unsupported::Metadata("user:password"))?;
        value.set_sensitive(true);
        metadata.push(("authorization", value));
    }
    if let Some(name) = &said.connection_name {
        let value =
            AsciiMetadataValue::try_from(name).map_err(|_| Unsupported::Metadata("connectionName"))?;
        metadata.push(("connection-name", value));
    }
    Ok(metadata)
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
