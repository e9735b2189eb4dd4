//! `ServerFeatures.GetSupportedMethods`: what clients look up before they use it.

use wire::proto::server_features::{SupportedMethod, SupportedMethods};

/// The version of the server that this one behaves like; clients read its first three numbers.
pub const VERSION: &str = "24.10.4-penstock";

type Methods = &'static [(&'static str, &'static [&'static str])];

/// On what there may be groups. `create` is not among the methods: there are none yet.
const GROUPS: &[&str] = &["stream", "all"];

/// Services, their methods, and the methods' features; names in lower case.
const METHODS: [(&str, Methods); 5] = [
    ("event_store.client.gossip.gossip", &[("read", &[])]),
    (
        "event_store.client.operations.operations",
        &[
            ("mergeindexes", &[]),
            ("restartpersistentsubscriptions", &[]),
            ("setnodepriority", &[]),
            ("stopscavenge", &[]),
        ],
    ),
    (
        "event_store.client.persistent_subscriptions.persistentsubscriptions",
        &[
            ("delete", GROUPS),
            ("getinfo", GROUPS),
            ("list", GROUPS),
            ("read", GROUPS),
            ("replayparked", GROUPS),
            ("restartsubsystem", GROUPS),
            ("update", GROUPS),
        ],
    ),
    ("event_store.client.server_features.serverfeatures", &[("getsupportedmethods", &[])]),
    (
        "event_store.client.streams.streams",
        &[
            ("append", &[]),
            ("batchappend", &["deadline_duration"]),
            ("delete", &[]),
            ("read", &["position", "events"]),
            ("tombstone", &[]),
        ],
    ),
];

/// Every method there is.
pub fn supported() -> SupportedMethods {
    let methods = METHODS.iter().flat_map(|(service, methods)| {
        methods.iter().map(|(name, features)| SupportedMethod {
            method_name: (*name).to_owned(),
            service_name: (*service).to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        })
    });
    SupportedMethods { methods: methods.collect(), event_store_server_version: VERSION.to_owned() }
}
