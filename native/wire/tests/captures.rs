//! Messages of a real EventStoreDB, decoded, against the fields as a reference library read them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Map, Value, json};
use wire::google;
use wire::proto::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq, ReadResp,
    TombstoneReq, TombstoneResp, append_req, append_resp, batch_append_resp, delete_resp, read_resp,
    tombstone_resp,
};
use wire::proto::{self, gossip, server_features, uuid};

fn calls() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/captures/eventstoredb-24.10.4.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes_of(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// Every response of the calls of a method: what was asked, the bytes, the fields.
fn responses(method: &str) -> Vec<(String, Vec<u8>, Value)> {
    let mut found = Vec::new();
    for call in calls().iter().filter(|call| call["call"] == method) {
        for response in call["responses"].as_array().unwrap() {
            let what = call["what"].as_str().unwrap().to_owned();
            found.push((what, bytes_of(&response["bytes"]), response["fields"].clone()));
        }
    }
    assert!(!found.is_empty(), "no responses of {method}");
    found
}

fn requests<M: Message + Default>(method: &str) -> Vec<M> {
    let mut found = Vec::new();
    for call in calls().iter().filter(|call| call["call"] == method) {
        for request in call["requests"].as_array().unwrap() {
            let bytes = bytes_of(request);
            let message = M::decode(bytes.as_slice()).unwrap();
            assert_eq!(message.encoded_len(), bytes.len(), "{method}: a field of the request is not known");
            found.push(message);
        }
    }
    assert!(!found.is_empty(), "no requests of {method}");
    found
}

/// An object without the fields that hold their default, as the reference library leaves them out.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let is_default = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text == "0",
        Value::Object(_) => false,
        Value::Array(list) => list.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(value) => !value,
    };
    let kept = fields.into_iter().filter(|(_, value)| !is_default(value));
    Value::Object(kept.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn one(name: &str, value: Value) -> Value {
    json!({ name: value })
}

fn long(number: u64) -> Value {
    json!(number.to_string())
}

fn stream(stream: Option<&proto::StreamIdentifier>) -> Value {
    stream
        .map_or(Value::Null, |stream| object([("stream_name", json!(STANDARD.encode(&stream.stream_name)))]))
}

fn id(id: Option<&proto::Uuid>) -> Value {
    match id.and_then(|id| id.value.as_ref()) {
        None => Value::Null,
        Some(uuid::Value::String(text)) => one("string", json!(text)),
        Some(uuid::Value::Structured(halves)) => one(
            "structured",
            object([
                ("most_significant_bits", json!(halves.most_significant_bits.to_string())),
                ("least_significant_bits", json!(halves.least_significant_bits.to_string())),
            ]),
        ),
    }
}

fn position(commit: u64, prepare: u64) -> Value {
    object([("commit_position", long(commit)), ("prepare_position", long(prepare))])
}

fn recorded(event: Option<&read_resp::read_event::RecordedEvent>) -> Value {
    event.map_or(Value::Null, |event| {
        object([
            ("id", id(event.id.as_ref())),
            ("stream_identifier", stream(event.stream_identifier.as_ref())),
            ("stream_revision", long(event.stream_revision)),
            ("prepare_position", long(event.prepare_position)),
            ("commit_position", long(event.commit_position)),
            ("metadata", json!(event.metadata)),
            ("custom_metadata", json!(STANDARD.encode(&event.custom_metadata))),
            ("data", json!(STANDARD.encode(&event.data))),
        ])
    })
}

fn read(response: &ReadResp) -> Value {
    use read_resp::Content;
    use read_resp::read_event::Position;
    match response.content.as_ref().unwrap() {
        Content::Event(event) => {
            let mut fields =
                object([("event", recorded(event.event.as_ref())), ("link", recorded(event.link.as_ref()))]);
            match event.position {
                Some(Position::CommitPosition(at)) => fields["commit_position"] = long(at),
                Some(Position::NoPosition(_)) => fields["no_position"] = json!({}),
                None => {}
            }
            one("event", fields)
        }
        Content::Confirmation(is) => {
            one("confirmation", object([("subscription_id", json!(is.subscription_id))]))
        }
        Content::Checkpoint(at) => one("checkpoint", position(at.commit_position, at.prepare_position)),
        Content::StreamNotFound(is) => {
            one("stream_not_found", object([("stream_identifier", stream(is.stream_identifier.as_ref()))]))
        }
        Content::FirstStreamPosition(at) => one("first_stream_position", long(*at)),
        Content::LastStreamPosition(at) => one("last_stream_position", long(*at)),
        Content::LastAllStreamPosition(at) => {
            one("last_all_stream_position", position(at.commit_position, at.prepare_position))
        }
        Content::CaughtUp(_) => one("caught_up", json!({})),
        Content::FellBehind(_) => one("fell_behind", json!({})),
    }
}

#[test]
fn every_message_of_a_read_or_subscription_decodes_to_its_fields_in_full_and_borrowed() {
    for (what, bytes, fields) in responses("Streams/Read") {
        let full = ReadResp::decode(bytes.as_slice()).unwrap();
        assert_eq!(read(&full), fields, "{what}");
        support::assert_same(&full, &bytes, 0);
    }
}

#[test]
fn every_answer_to_an_append_decodes_to_its_fields() {
    use append_resp::Result;
    use append_resp::success::{CurrentRevisionOption, PositionOption};
    use append_resp::wrong_expected_version as wrong;
    for (what, bytes, fields) in responses("Streams/Append") {
        let decoded = match AppendResp::decode(bytes.as_slice()).unwrap().result.unwrap() {
            Result::Success(success) => {
                let Some(CurrentRevisionOption::CurrentRevision(revision)) = success.current_revision_option
                else {
                    panic!("{what}: no revision");
                };
                let Some(PositionOption::Position(at)) = success.position_option else {
                    panic!("{what}: no position");
                };
                let position = position(at.commit_position, at.prepare_position);
                one("success", json!({"current_revision": revision.to_string(), "position": position}))
            }
            Result::WrongExpectedVersion(answer) => {
                let Some(wrong::CurrentRevisionOption::CurrentRevision(current)) =
                    answer.current_revision_option
                else {
                    panic!("{what}: no current revision");
                };
                let Some(wrong::ExpectedRevisionOption::ExpectedRevision(expected)) =
                    answer.expected_revision_option
                else {
                    panic!("{what}: no expected revision");
                };
                let old = (
                    wrong::CurrentRevisionOption2060::CurrentRevision2060(current),
                    wrong::ExpectedRevisionOption2060::ExpectedRevision2060(expected),
                );
                assert_eq!(answer.current_revision_option_20_6_0, Some(old.0));
                assert_eq!(answer.expected_revision_option_20_6_0, Some(old.1));
                let (current, expected) = (current.to_string(), expected.to_string());
                let fields = json!({
                    "current_revision_20_6_0": current, "expected_revision_20_6_0": expected,
                    "current_revision": current, "expected_revision": expected,
                });
                one("wrong_expected_version", fields)
            }
        };
        assert_eq!(decoded, fields, "{what}");
    }
}

#[test]
fn the_answers_to_a_batch_decode_to_their_fields() {
    use batch_append_resp::Result;
    use batch_append_resp::success::{CurrentRevisionOption, PositionOption};
    for (what, bytes, fields) in responses("Streams/BatchAppend") {
        let answer = BatchAppendResp::decode(bytes.as_slice()).unwrap();
        assert_eq!(id(answer.correlation_id.as_ref()), fields["correlation_id"], "{what}");
        assert_eq!(stream(answer.stream_identifier.as_ref()), fields["stream_identifier"], "{what}");
        match answer.result.unwrap() {
            Result::Success(success) => {
                let Some(PositionOption::Position(at)) = success.position_option else {
                    panic!("no position")
                };
                assert_eq!(success.current_revision_option, Some(CurrentRevisionOption::CurrentRevision(0)));
                assert_eq!(
                    json!({"current_revision": "0", "position": position(at.commit_position, at.prepare_position)}),
                    fields["success"]
                );
            }
            Result::Error(status) => refused(&status, &fields["error"]),
        }
    }
}

fn refused(status: &google::rpc::Status, fields: &Value) {
    assert_eq!(
        (tonic::Code::from_i32(status.code), &fields["code"]),
        (tonic::Code::AlreadyExists, &json!("ALREADY_EXISTS"))
    );
    assert_eq!(json!(status.message), fields["message"]);
    let details = status.details.as_ref().unwrap();
    assert_eq!(json!(details.type_url), fields["details"]["@type"]);
    let wrong = proto::WrongExpectedVersion::decode(details.value.as_ref()).unwrap();
    use proto::wrong_expected_version::{CurrentStreamRevisionOption, ExpectedStreamPositionOption};
    let Some(CurrentStreamRevisionOption::CurrentStreamRevision(current)) =
        wrong.current_stream_revision_option
    else {
        panic!("no current revision");
    };
    assert_eq!(long(current), fields["details"]["current_stream_revision"]);
    assert!(matches!(
        wrong.expected_stream_position_option,
        Some(ExpectedStreamPositionOption::ExpectedNoStream(_))
    ));
}

#[test]
fn the_answers_to_deletes_decode_to_their_fields() {
    for (what, bytes, fields) in responses("Streams/Delete") {
        let Some(delete_resp::PositionOption::Position(at)) =
            DeleteResp::decode(bytes.as_slice()).unwrap().position_option
        else {
            panic!("{what}: no position");
        };
        assert_eq!(one("position", position(at.commit_position, at.prepare_position)), fields, "{what}");
    }
    for (what, bytes, fields) in responses("Streams/Tombstone") {
        let Some(tombstone_resp::PositionOption::Position(at)) =
            TombstoneResp::decode(bytes.as_slice()).unwrap().position_option
        else {
            panic!("{what}: no position");
        };
        assert_eq!(one("position", position(at.commit_position, at.prepare_position)), fields, "{what}");
    }
}

#[test]
fn what_a_server_can_do_decodes_to_its_fields() {
    for (_, bytes, fields) in responses("ServerFeatures/GetSupportedMethods") {
        let supported = server_features::SupportedMethods::decode(bytes.as_slice()).unwrap();
        let methods: Vec<_> = supported
            .methods
            .iter()
            .map(|method| {
                object([
                    ("method_name", json!(method.method_name)),
                    ("service_name", json!(method.service_name)),
                    ("features", json!(method.features)),
                ])
            })
            .collect();
        let version = json!(supported.event_store_server_version);
        assert_eq!(object([("methods", json!(methods)), ("event_store_server_version", version)]), fields);
    }
}

#[test]
fn gossip_decodes_to_its_fields() {
    for (_, bytes, fields) in responses("Gossip/Read") {
        let gossip = gossip::ClusterInfo::decode(bytes.as_slice()).unwrap();
        let members: Vec<_> = gossip
            .members
            .iter()
            .map(|member| {
                let at = member.http_end_point.as_ref().unwrap();
                object([
                    ("instance_id", id(member.instance_id.as_ref())),
                    ("time_stamp", json!(member.time_stamp.to_string())),
                    (
                        "state",
                        json!(gossip::member_info::VNodeState::try_from(member.state).unwrap().as_str_name()),
                    ),
                    ("is_alive", json!(member.is_alive)),
                    ("http_end_point", json!({"address": at.address, "port": at.port})),
                ])
            })
            .collect();
        assert_eq!(one("members", json!(members)), fields);
    }
}

#[test]
fn the_requests_that_a_real_server_took_decode_without_a_field_left_over() {
    let appends = requests::<AppendReq>("Streams/Append");
    let options =
        appends.iter().filter(|request| matches!(request.content, Some(append_req::Content::Options(_))));
    assert_eq!(options.count(), 4);
    assert_eq!(requests::<ReadReq>("Streams/Read").len(), 10);
    assert_eq!(requests::<BatchAppendReq>("Streams/BatchAppend").len(), 2);
    assert_eq!(requests::<DeleteReq>("Streams/Delete").len(), 2);
    assert_eq!(requests::<TombstoneReq>("Streams/Tombstone").len(), 1);
}
