//! The keys of a connection string, what each takes and what it sets.

use std::time::Duration;

use super::{ConnectionStringError, NodePreference, Settings};

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) takes: &'static str,
    /// `None` when the value is not what the key takes.
    pub(super) set: fn(&mut Settings, &str) -> Option<()>,
}

const FLAG: &str = "true or false";
const TEXT: &str = "text that is not empty, percent-encoded";
const TIME: &str = "a number of milliseconds from 1 to 2147483647, or -1 for never";
const PING_TIME: &str = "a number of milliseconds from 100 to 2147483647, or -1 for never";
/// Some 24 days. Longer ones are a way to say never, for which there is -1; a call's deadline travels in eight digits.
const LONGEST: u64 = 2_147_483_647;
/// Pings at a shorter interval cost a core what the events should have.
const SHORTEST_PING: u64 = 100;

static KEYS: [Key; 14] = [
    Key { name: "tls", takes: FLAG, set: |to, value| put(&mut to.tls, flag(value)) },
    Key { name: "tlsVerifyCert", takes: FLAG, set: |to, value| put(&mut to.tls_verify_cert, flag(value)) },
    Key { name: "tlsCaFile", takes: TEXT, set: |to, value| put(&mut to.tls_ca_file, text(value)) },
    Key { name: "userCertFile", takes: TEXT, set: |to, value| put(&mut to.user_cert_file, text(value)) },
    Key { name: "userKeyFile", takes: TEXT, set: |to, value| put(&mut to.user_key_file, text(value)) },
    Key {
        name: "maxDiscoverAttempts",
        takes: "a number from 1 to 4294967295",
        set: |to, value| {
            let attempts = within(value, 1, u64::from(u32::MAX));
            put(&mut to.max_discover_attempts, attempts.and_then(|attempts| u32::try_from(attempts).ok()))
        },
    },
    Key {
        name: "discoveryInterval",
        takes: "a number of milliseconds from 1 to 2147483647",
        set: |to, value| {
            put(&mut to.discovery_interval, within(value, 1, LONGEST).map(Duration::from_millis))
        },
    },
    Key {
        name: "gossipTimeout",
        takes: "a number of seconds from 1 to 86400",
        set: |to, value| put(&mut to.gossip_timeout, within(value, 1, 86_400).map(Duration::from_secs)),
    },
    Key {
        name: "nodePreference",
        takes: "leader, follower, random or readOnlyReplica",
        set: |to, value| put(&mut to.node_preference, preference(value)),
    },
    Key {
        name: "keepAliveInterval",
        takes: PING_TIME,
        set: |to, value| put(&mut to.keep_alive_interval, time(value, SHORTEST_PING)),
    },
    Key {
        name: "keepAliveTimeout",
        takes: PING_TIME,
        set: |to, value| put(&mut to.keep_alive_timeout, time(value, SHORTEST_PING)),
    },
    Key {
        name: "defaultDeadline",
        takes: TIME,
        set: |to, value| put(&mut to.default_deadline, time(value, 1)),
    },
    Key { name: "connectionName", takes: TEXT, set: |to, value| put(&mut to.connection_name, text(value)) },
    Key {
        name: "throwOnAppendFailure",
        takes: FLAG,
        set: |to, value| put(&mut to.throw_on_append_failure, flag(value)),
    },
];

pub(super) fn find(key: &str) -> Result<&'static Key, ConnectionStringError> {
    KEYS.iter()
        .find(|known| known.name.eq_ignore_ascii_case(key))
        .ok_or_else(|| ConnectionStringError::UnknownKey { key: key.to_owned() })
}

pub(super) fn names() -> String {
    KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

fn put<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn flag(value: &str) -> Option<bool> {
    value.to_ascii_lowercase().parse().ok()
}

fn text(value: &str) -> Option<Option<String>> {
    (!value.is_empty()).then(|| Some(value.to_owned()))
}

/// Digits only, where `parse` would take a plus as well.
fn number(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn within(value: &str, least: u64, most: u64) -> Option<u64> {
    number(value).filter(|number| (least..=most).contains(number))
}

fn time(value: &str, least: u64) -> Option<Option<Duration>> {
    if value == "-1" {
        Some(None)
    } else {
        within(value, least, LONGEST).map(|millis| Some(Duration::from_millis(millis)))
    }
}

fn preference(value: &str) -> Option<NodePreference> {
    match value.to_ascii_lowercase().as_str() {
        "leader" => Some(NodePreference::Leader),
        "follower" => Some(NodePreference::Follower),
        "random" => Some(NodePreference::Random),
        "readonlyreplica" => Some(NodePreference::ReadOnlyReplica),
        _ => None,
    }
}
