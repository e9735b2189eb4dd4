//! Every method that there is: where it is called, of which kind it is, and who answers it.

use wire::proto::Empty;
use wire::proto::operations::{SetNodePriorityReq, StartScavengeReq, StopScavengeReq};

use crate::answers::Answers;
use crate::calls::Handler::{self, ClientStreaming, Duplex, ServerStreaming, Unary};
use crate::requests::Requests;
use crate::{append, batch, delete, features, gossip, groups, monitoring, operations, read, users};

/// A method.
pub struct Method {
    /// Its path, as clients write it; it is called in upper and lower case alike.
    pub path: &'static str,
    /// What clients look up before they use it.
    pub features: &'static [&'static str],
    /// What it does.
    pub handler: Handler,
}

/// What there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The service has no such method.
    Method,
    /// There is no such service.
    Service,
}

/// On what there may be groups. There are none yet: `Create` says so.
const GROUPS: &[&str] = &["stream", "all"];

/// All methods. What is not here is not implemented.
pub static METHODS: [Method; 33] = [
    Method {
        path: "/event_store.client.gossip.Gossip/Read",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(
                |context, _: Empty| async move { Ok(Answers::one(&gossip::cluster(&context.node))) },
            )
        }),
    },
    Method {
        path: "/event_store.client.monitoring.Monitoring/Stats",
        features: &[],
        handler: ServerStreaming(|call| call.answered_by(monitoring::stats)),
    },
    Method {
        path: "/event_store.client.operations.Operations/MergeIndexes",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|context, _: Empty| async move { operations::nothing_to_do(&context) })
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/ResignNode",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|context, _: Empty| async move { operations::resign(&context) })
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/RestartPersistentSubscriptions",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|context, _: Empty| async move { operations::nothing_to_do(&context) })
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/SetNodePriority",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(
                |context, _: SetNodePriorityReq| async move { operations::nothing_to_do(&context) },
            )
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/Shutdown",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|context, _: Empty| async move { operations::shutdown(&context) })
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/StartScavenge",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(
                |context, _: StartScavengeReq| async move { operations::start_scavenge(&context) },
            )
        }),
    },
    Method {
        path: "/event_store.client.operations.Operations/StopScavenge",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|context, _: StopScavengeReq| async move { operations::stop_scavenge(&context) })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Create",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::managed(&context, || groups::create(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Delete",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::managed(&context, || groups::delete(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/GetInfo",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::informed(&context, || groups::info(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/List",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::managed(&context, || groups::list(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Read",
        features: GROUPS,
        handler: Duplex(|call| call.answered_by(groups::read)),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/ReplayParked",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::managed(&context, || groups::replay_parked(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/RestartSubsystem",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, _: Empty| async move { operations::nothing_to_do(&context) })
        }),
    },
    Method {
        path: "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Update",
        features: GROUPS,
        handler: Unary(|call| {
            call.answered_by(|context, asked| async move {
                Err(groups::managed(&context, || groups::update(asked)))
            })
        }),
    },
    Method {
        path: "/event_store.client.redaction.Redaction/GetEventPositions",
        features: &[],
        handler: Duplex(|call| {
            call.answered_by(|_, _: Requests<Empty>| async { Err(operations::no_redaction()) })
        }),
    },
    Method {
        path: "/event_store.client.redaction.Redaction/SwitchChunks",
        features: &[],
        handler: Duplex(|call| {
            call.answered_by(|_, _: Requests<Empty>| async { Err(operations::no_redaction()) })
        }),
    },
    Method {
        path: "/event_store.client.server_features.ServerFeatures/GetSupportedMethods",
        features: &[],
        handler: Unary(|call| {
            call.answered_by(|_, _: Empty| async { Ok(Answers::one(&features::supported(names()))) })
        }),
    },
    Method {
        path: "/event_store.client.streams.Streams/Append",
        features: &[],
        handler: ClientStreaming(|call| call.answered_by(append::append)),
    },
    Method {
        path: "/event_store.client.streams.Streams/BatchAppend",
        features: &["deadline_duration"],
        handler: Duplex(|call| call.answered_by(batch::batch_append)),
    },
    Method {
        path: "/event_store.client.streams.Streams/Delete",
        features: &[],
        handler: Unary(|call| call.answered_by(delete::delete)),
    },
    Method {
        path: "/event_store.client.streams.Streams/Read",
        features: &["position", "events"],
        handler: ServerStreaming(|call| call.answered_by(read::read)),
    },
    Method {
        path: "/event_store.client.streams.Streams/Tombstone",
        features: &[],
        handler: Unary(|call| call.answered_by(delete::tombstone)),
    },
    Method {
        path: "/event_store.client.users.Users/ChangePassword",
        features: &[],
        handler: Unary(|call| call.answered_by(users::change_password)),
    },
    Method {
        path: "/event_store.client.users.Users/Create",
        features: &[],
        handler: Unary(|call| call.answered_by(users::create)),
    },
    Method {
        path: "/event_store.client.users.Users/Delete",
        features: &[],
        handler: Unary(|call| call.answered_by(users::delete)),
    },
    Method {
        path: "/event_store.client.users.Users/Details",
        features: &[],
        handler: ServerStreaming(|call| call.answered_by(users::details)),
    },
    Method {
        path: "/event_store.client.users.Users/Disable",
        features: &[],
        handler: Unary(|call| call.answered_by(users::disable)),
    },
    Method {
        path: "/event_store.client.users.Users/Enable",
        features: &[],
        handler: Unary(|call| call.answered_by(users::enable)),
    },
    Method {
        path: "/event_store.client.users.Users/ResetPassword",
        features: &[],
        handler: Unary(|call| call.answered_by(users::reset_password)),
    },
    Method {
        path: "/event_store.client.users.Users/Update",
        features: &[],
        handler: Unary(|call| call.answered_by(users::update)),
    },
];

/// The paths of all methods, and their features.
fn names() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    METHODS.iter().map(|method| (method.path, method.features))
}

/// The method of a path; the real server does not tell upper from lower case.
///
/// # Errors
/// What there is not.
pub fn find(path: &str) -> Result<&'static Method, Missing> {
    let asked = METHODS.iter().find(|method| method.path.eq_ignore_ascii_case(path));
    asked.ok_or_else(|| {
        let service = |path: &str| path.rsplit_once('/').map(|(service, _)| service.to_ascii_lowercase());
        match METHODS.iter().any(|method| service(method.path) == service(path)) {
            true => Missing::Method,
            false => Missing::Service,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kind(handler: Handler) -> (bool, bool) {
        match handler {
            Unary(_) => (false, false),
            ServerStreaming(_) => (false, true),
            ClientStreaming(_) => (true, false),
            Duplex(_) => (true, true),
        }
    }

    /// The path of every method of the protocol; whether it takes, and whether it gives, any number of messages.
    fn protocol() -> BTreeMap<String, (bool, bool)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/proto");
        let mut found = BTreeMap::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let (mut package, mut service) = (String::new(), String::new());
            for line in text.lines().map(str::trim) {
                let word =
                    |after: &str| line.strip_prefix(after).map(|rest| rest.trim_end_matches([';', '{', ' ']));
                if let Some(name) = word("package ") {
                    package = name.to_owned();
                } else if let Some(name) = word("service ") {
                    service = name.to_owned();
                } else if let Some((name, rest)) =
                    line.strip_prefix("rpc ").and_then(|rpc| rpc.split_once('('))
                {
                    let (takes, gives) = rest.split_once("returns").unwrap();
                    let many = |text: &str| text.trim_start_matches([' ', '(']).starts_with("stream ");
                    found.insert(format!("/{package}.{service}/{name}"), (many(takes), many(gives)));
                }
            }
        }
        found
    }

    #[test]
    fn every_method_of_the_protocol_is_there_and_of_its_kind() {
        let mut protocol = protocol();
        for method in &METHODS {
            assert_eq!(protocol.remove(method.path), Some(kind(method.handler)), "{}", method.path);
        }
        assert!(protocol.is_empty(), "{protocol:?}");
    }

    #[test]
    fn a_method_is_found_in_any_case_and_what_is_missing_is_named() {
        let found = |path: &str| find(path).map(|method| method.path);
        let read = "/event_store.client.streams.Streams/Read";
        assert_eq!(found(read), Ok(read));
        assert_eq!(found("/EVENT_STORE.client.streams.streams/READ"), Ok(read));
        assert_eq!(found("/event_store.client.Streams.streams/Nonsense"), Err(Missing::Method));
        for path in
            ["/event_store.client.nope.Nope/Create", "/", "", "event_store.client.streams.Streams/Read"]
        {
            assert_eq!(found(path), Err(Missing::Service), "{path}");
        }
    }
}
