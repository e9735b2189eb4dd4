//! Errors that real servers sent.

use serde_json::Value;
use tonic::Code;
use wire::error::{Error, Expected};

use crate::status;

fn code_named(name: &str) -> Code {
    (1..17)
        .map(Code::from_i32)
        .find(|code| format!("{code:?}").eq_ignore_ascii_case(&name.replace('_', "")))
        .unwrap_or_else(|| panic!("no code {name}"))
}

/// The errors of a file of captures: what was asked, and what the answer means.
fn captured(file: &str) -> Vec<(String, Error)> {
    let path = format!("{}/../../test/captures/{file}", env!("CARGO_MANIFEST_DIR"));
    let calls: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut errors = Vec::new();
    for call in &calls {
        let Some((code, message)) = call["end"].as_str().and_then(|end| end.split_once(": ")) else {
            continue;
        };
        let trailers = call["trailers"].as_object().unwrap();
        let trailers: Vec<_> =
            trailers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        errors.push((
            call["what"].as_str().unwrap().to_owned(),
            Error::from(status(code_named(code), message, &trailers)),
        ));
    }
    errors
}

fn found(errors: &[(String, Error)], what: &str) -> Error {
    errors.iter().find(|(asked, _)| asked == what).unwrap_or_else(|| panic!("no {what}")).1.clone()
}

#[test]
fn the_errors_of_a_real_server_are_told_apart() {
    let errors = captured("eventstoredb-24.10.4.json");
    assert_eq!(errors.len(), 3);
    assert_eq!(
        found(&errors, "a missing stream"),
        Error::WrongExpectedVersion {
            stream: "missing-6b037661".into(),
            expected: Expected::Any,
            current: None
        }
    );
    assert_eq!(
        found(&errors, "a tombstoned stream"),
        Error::StreamDeleted { stream: "links-6b037661".into() }
    );
    assert_eq!(
        found(&errors, "the same again"),
        Error::PersistentSubscriptionExists { stream: "orders-6b037661".into(), group: "g6b037661".into() }
    );
}

#[test]
fn the_errors_of_a_real_secure_server_are_told_apart() {
    let errors = captured("secure.json");
    assert_eq!(found(&errors, "read, no credentials"), Error::AccessDenied);
    assert_eq!(found(&errors, "read, wrong password"), Error::Unauthenticated);
    assert_eq!(
        found(&errors, "delete with acl, ops"),
        Error::WrongExpectedVersion {
            stream: "s2".into(),
            expected: Expected::Revision(99),
            current: Some(0)
        }
    );
    assert!(
        errors.iter().filter(|(what, _)| !what.contains("malformed")).all(|(_, error)| !error.retryable())
    );
}

#[test]
fn the_errors_of_a_real_cluster_are_told_apart() {
    let errors = captured("cluster.json");
    let not_leader = Error::NotLeader { host: "127.0.0.1".into(), port: 2512 };
    assert_eq!(found(&errors, "subscribe on a follower, requires-leader"), not_leader);
    assert!(not_leader.retryable());
    assert_eq!(
        found(&errors, "info on a follower"),
        Error::Unavailable { message: "Server Is Not Ready".into() }
    );
}
