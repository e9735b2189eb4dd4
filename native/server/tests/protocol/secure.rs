//! A server with users: it answers as a real one was seen to answer, and its users are looked after.

use std::collections::BTreeMap;

use serde_json::Value;
use server::{Options, Server, Storage};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use wire::proto::gossip::gossip_client::GossipClient;
use wire::proto::persistent_subscriptions::CreateReq;
use wire::proto::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use wire::proto::server_features::server_features_client::ServerFeaturesClient;
use wire::proto::streams::append_req::{Content, Options as AppendOptions};
use wire::proto::streams::batch_append_req::options::ExpectedStreamPosition;
use wire::proto::streams::batch_append_req::{Options as BatchOptions, ProposedMessage};
use wire::proto::streams::read_req::options::{AllOptions, StreamOption, all_options};
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{
    AppendReq, BatchAppendReq, DeleteReq, append_resp, batch_append_resp, delete_req, read_resp,
};
use wire::proto::users::users_client::UsersClient;
use wire::proto::users::{
    ChangePasswordReq, CreateReq as CreateUser, DeleteReq as DeleteUser, DetailsReq, DisableReq, EnableReq,
    ResetPasswordReq, UpdateReq, change_password_req, create_req, delete_req as delete_user_req, details_req,
    disable_req, enable_req, reset_password_req, update_req,
};
use wire::proto::{Empty, Uuid};

use crate::common::{any, event, name, read};
use crate::options;

const ADMIN: &str = "Basic YWRtaW46Y2hhbmdlaXQ=";
const OPS: &str = "Basic b3BzOmNoYW5nZWl0";

async fn secure(storage: Storage) -> (Server, Channel) {
    let server = Server::start(Options { storage, users: true, ..options() }).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", server.local_addr())).unwrap();
    (server, endpoint.connect().await.unwrap())
}

fn by<T>(authorization: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(authorization).unwrap());
    }
    request
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

async fn append(channel: &Channel, who: Option<&str>, stream: &str, data: &str) -> Result<String, Status> {
    let options = AppendOptions { stream_identifier: name(stream), expected_stream_revision: Some(any()) };
    let contents = [Content::Options(options), Content::ProposedMessage(event(data.as_bytes().to_vec()))];
    let requests = tokio_stream::iter(contents.map(|content| AppendReq { content: Some(content) }));
    match StreamsClient::new(channel.clone()).append(by(who, requests)).await?.into_inner().result {
        Some(append_resp::Result::Success(success)) => match success.current_revision_option {
            Some(append_resp::success::CurrentRevisionOption::CurrentRevision(revision)) => {
                Ok(format!("revision {revision}"))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What is read: of a stream, of the log without one, or of a subscription as many as are expected.
async fn events(
    channel: &Channel,
    who: Option<&str>,
    stream: Option<&str>,
    subscription: Option<usize>,
) -> Result<String, Status> {
    let mut request =
        read(stream.unwrap_or_default(), subscription.is_none().then_some(1 + u64::from(stream.is_some())));
    if stream.is_none() {
        let all = AllOptions { all_option: Some(all_options::AllOption::Start(Empty {})) };
        request.options.as_mut().unwrap().stream_option = Some(StreamOption::All(all));
    }
    let mut answers = StreamsClient::new(channel.clone()).read(by(who, request)).await?.into_inner();
    let mut found = 0;
    while let Some(answer) = answers.message().await? {
        match answer.content {
            Some(read_resp::Content::Event(_)) => found += 1,
            Some(read_resp::Content::Confirmation(_)) => assert!(subscription.is_some()),
            _ => {}
        }
        if subscription.is_some_and(|wanted| found >= wanted) {
            break;
        }
    }
    Ok(format!("{found} events"))
}

async fn delete(channel: &Channel, who: Option<&str>, stream: &str) -> Result<String, Status> {
    let expected_stream_revision = Some(delete_req::options::ExpectedStreamRevision::Revision(99));
    let options = Some(delete_req::Options { stream_identifier: name(stream), expected_stream_revision });
    let deleted = StreamsClient::new(channel.clone()).delete(by(who, DeleteReq { options })).await;
    deleted.map(|_| "deleted".to_owned())
}

/// The code and the type of an error, or the revision.
async fn batch(channel: &Channel, who: Option<&str>, stream: &str) -> Result<String, Status> {
    let event = event(b"{}".to_vec());
    let request = BatchAppendReq {
        correlation_id: Some(Uuid {
            value: Some(wire::proto::uuid::Value::String(uuid::Uuid::new_v4().into())),
        }),
        options: Some(BatchOptions {
            stream_identifier: name(stream),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: None,
        }),
        proposed_messages: vec![ProposedMessage {
            id: event.id,
            metadata: event.metadata,
            custom_metadata: event.custom_metadata,
            data: event.data,
        }],
        is_final: true,
    };
    let requests = tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
    let mut answers = StreamsClient::new(channel.clone()).batch_append(by(who, requests)).await?.into_inner();
    Ok(match answers.message().await?.unwrap().result {
        Some(batch_append_resp::Result::Error(error)) => {
            format!("{:?} {} {}", Code::from(error.code), error.message, error.details.unwrap().type_url)
        }
        Some(batch_append_resp::Result::Success(success)) => match success.current_revision_option {
            Some(batch_append_resp::success::CurrentRevisionOption::CurrentRevision(revision)) => {
                format!("revision {revision}")
            }
            other => panic!("{other:?}"),
        },
        None => panic!("no result"),
    })
}

/// Makes a call as it was made to a real server.
async fn call(channel: &Channel, captured: &Value) -> Option<Result<String, Status>> {
    let (what, method) = (captured["what"].as_str().unwrap(), captured["call"].as_str().unwrap());
    let who = captured["metadata"]["authorization"].as_str();
    let stream = if what.contains("acl") || what.contains("s2") { "s2" } else { "s1" };
    Some(match method {
        "Streams/Append" if what.starts_with("acl:") => {
            append(channel, who, "$$s2", r#"{"$acl":{"$r":"$admins","$w":"$admins"}}"#).await
        }
        "Streams/Append" => append(channel, who, stream, "{}").await,
        "Streams/Read" if what.starts_with("subscribe") => {
            let answers = captured["answers"].as_array().unwrap();
            let wanted = answers.iter().filter(|answer| answer.get("event").is_some()).count();
            events(channel, who, Some(stream), Some(wanted)).await
        }
        "Streams/Read" => events(channel, who, (!what.contains("$all")).then_some(stream), None).await,
        "Streams/Delete" => delete(channel, who, stream).await,
        "Streams/BatchAppend" => batch(channel, who, stream).await,
        "Gossip/Read" => {
            let mut client = GossipClient::new(channel.clone());
            client.read(by(who, Empty {})).await.map(|answer| answer.into_inner().members.len().to_string())
        }
        "ServerFeatures/GetSupportedMethods" => {
            let mut client = ServerFeaturesClient::new(channel.clone());
            client.get_supported_methods(by(who, Empty {})).await.map(|_| "methods".to_owned())
        }
        // There are no groups yet: whoever may make one hears that.
        "PersistentSubscriptions/Create" if captured["end"] == "OK" => return None,
        "PersistentSubscriptions/Create" => {
            let mut client = PersistentSubscriptionsClient::new(channel.clone());
            client.create(by(who, CreateReq::default())).await.map(|_| "created".to_owned())
        }
        other => panic!("{other}"),
    })
}

/// What a real server answered, said alike.
fn recorded(captured: &Value) -> String {
    let answers = captured["answers"].as_array().unwrap();
    let revision =
        |value: &Value| format!("revision {}", value["success"]["current_revision"].as_str().unwrap());
    match captured["call"].as_str().unwrap() {
        "Streams/Append" => revision(&answers[0]),
        "Streams/Read" => {
            format!("{} events", answers.iter().filter(|answer| answer.get("event").is_some()).count())
        }
        "Streams/BatchAppend" => match answers[0].get("error") {
            Some(error) => {
                assert_eq!(error["code"], "PERMISSION_DENIED");
                let (text, detail) =
                    (error["message"].as_str().unwrap(), error["details"]["@type"].as_str().unwrap());
                format!("PermissionDenied {text} {detail}")
            }
            None => revision(&answers[0]),
        },
        "Gossip/Read" => "1".to_owned(),
        "ServerFeatures/GetSupportedMethods" => "methods".to_owned(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_real_server_with_users_was_seen_to_answer_this_one_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/captures/secure.json");
    let captured: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (server, channel) = secure(Storage::Memory).await;
    let mut compared = 0;
    for captured in &captured {
        let (what, end) = (&captured["what"], captured["end"].as_str().unwrap());
        let Some(answered) = call(&channel, captured).await else { continue };
        compared += 1;
        match answered {
            Ok(answered) => {
                assert!(["OK", "cancelled by the client"].contains(&end), "{what}: {answered}, not {end}");
                assert_eq!(answered, recorded(captured), "{what}");
            }
            Err(status) if end.ends_with("status: 500") => {
                assert!(status.message().contains("500"), "{what}: {status:?}");
                assert!(!status.metadata().contains_key("grpc-status"), "{what}: {status:?}");
            }
            Err(status) => {
                let code = format!("{:?}", status.code()).to_ascii_uppercase();
                let wanted = end.replacen('_', "", 1);
                assert_eq!(format!("{code}: {}", status.message()), wanted, "{what}");
                let trailers: BTreeMap<_, _> = status
                    .metadata()
                    .iter()
                    .filter_map(|entry| match entry {
                        tonic::metadata::KeyAndValueRef::Ascii(key, value) => {
                            Some((key.to_string(), Value::from(value.to_str().unwrap())))
                        }
                        tonic::metadata::KeyAndValueRef::Binary(..) => None,
                    })
                    .filter(|(key, _)| !["content-length", "content-type", "date"].contains(&key.as_str()))
                    .collect();
                let recorded = captured["trailers"].as_object().unwrap().iter();
                let recorded: BTreeMap<_, _> = recorded
                    .filter(|(key, _)| *key != "content-length")
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(trailers, recorded, "{what}");
            }
        }
    }
    assert!(compared > 60, "{compared}");
    server.shutdown().await;
}

fn create(user: &str, password: &str, groups: &[&str]) -> CreateUser {
    let options = create_req::Options {
        login_name: user.to_owned(),
        password: password.to_owned(),
        full_name: format!("{user} of a test"),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    CreateUser { options: Some(options) }
}

fn details(user: &str) -> DetailsReq {
    DetailsReq { options: Some(details_req::Options { login_name: user.to_owned() }) }
}

async fn names(
    users: &mut UsersClient<Channel>,
    who: &str,
    asked: DetailsReq,
) -> Result<Vec<String>, Status> {
    let mut answers = users.details(by(Some(who), asked)).await?.into_inner();
    let mut found = Vec::new();
    while let Some(answer) = answers.message().await? {
        let user = answer.user_details.unwrap();
        found.push(format!("{} {:?} {}", user.login_name, user.groups, user.disabled));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_made_changed_and_removed_by_administrators_and_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Disk(folder.path().join("data"));
    let (server, channel) = secure(storage()).await;
    let mut users = UsersClient::new(channel.clone());
    users.create(by(Some(ADMIN), create("ada", "first", &["readers"]))).await.unwrap();
    let again = users.create(by(Some(ADMIN), create("ada", "other", &[]))).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert_eq!(again.metadata().get("exception").unwrap(), "user-conflict");
    let ada = basic("ada", "first");
    assert_eq!(append(&channel, Some(&ada), "s", "{}").await.unwrap(), "revision 0");
    for denied in [
        users.create(by(Some(&ada), create("bob", "x", &["$admins"]))).await.map(|_| ()),
        users.create(by(Some(OPS), create("bob", "x", &["$admins"]))).await.map(|_| ()),
        users.create(by(None, create("bob", "x", &["$admins"]))).await.map(|_| ()),
        names(&mut users, &ada, details("admin")).await.map(|_| ()),
    ] {
        assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(names(&mut users, &ada, details("ada")).await.unwrap(), ["ada [\"readers\"] false"]);

    let change = |current: &str, new: &str| ChangePasswordReq {
        options: Some(change_password_req::Options {
            login_name: "ada".into(),
            current_password: current.into(),
            new_password: new.into(),
        }),
    };
    let wrong = users.change_password(by(Some(&ada), change("no", "second"))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::PermissionDenied);
    users.change_password(by(Some(&ada), change("first", "second"))).await.unwrap();
    let former = append(&channel, Some(&ada), "s", "{}").await.unwrap_err();
    assert_eq!(former.code(), Code::Unauthenticated, "a password that was right is not after a change");
    let ada = basic("ada", "second");

    let disable = || DisableReq { options: Some(disable_req::Options { login_name: "ada".into() }) };
    users.disable(by(Some(ADMIN), disable())).await.unwrap();
    assert_eq!(append(&channel, Some(&ada), "s", "{}").await.unwrap_err().code(), Code::Unauthenticated);
    let enable = EnableReq { options: Some(enable_req::Options { login_name: "ada".into() }) };
    users.enable(by(Some(ADMIN), enable)).await.unwrap();
    let update = update_req::Options {
        login_name: "ada".into(),
        password: String::new(),
        full_name: "Ada".into(),
        groups: vec!["$admins".into()],
    };
    users.update(by(Some(ADMIN), UpdateReq { options: Some(update) })).await.unwrap();
    server.shutdown().await;

    let (server, channel) = secure(storage()).await;
    let mut users = UsersClient::new(channel.clone());
    let all = names(&mut users, &ada, DetailsReq::default()).await.unwrap();
    assert_eq!(all, ["admin [\"$admins\"] false", "ops [\"$ops\"] false", "ada [\"$admins\"] false"]);
    let reset = reset_password_req::Options { login_name: "ops".into(), new_password: "third".into() };
    users.reset_password(by(Some(&ada), ResetPasswordReq { options: Some(reset) })).await.unwrap();
    assert_eq!(append(&channel, Some(OPS), "s", "{}").await.unwrap_err().code(), Code::Unauthenticated);
    append(&channel, Some(&basic("ops", "third")), "s", "{}").await.unwrap();
    let gone = || DeleteUser { options: Some(delete_user_req::Options { login_name: "ops".into() }) };
    users.delete(by(Some(&ada), gone())).await.unwrap();
    let missing = users.delete(by(Some(&ada), gone())).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "User 'ops' is not found."));
    assert_eq!(missing.metadata().get("login-name").unwrap(), "ops");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_password_is_not_the_password() {
    let (server, channel) = secure(Storage::Memory).await;
    let mut client = StreamsClient::new(channel.clone());
    let mut answers = client.read(by(Some(ADMIN), read("$user-admin", Some(1)))).await.unwrap().into_inner();
    let Some(read_resp::Content::Event(found)) = answers.message().await.unwrap().unwrap().content else {
        panic!("no event");
    };
    let kept: Value = serde_json::from_slice(&found.event.unwrap().data).unwrap();
    assert_eq!(kept["loginName"], "admin");
    assert!(!kept.to_string().contains("changeit"), "{kept}");
    let others = client.read(by(Some(OPS), read("$user-admin", Some(1)))).await.unwrap_err();
    assert_eq!(others.code(), Code::PermissionDenied);
    server.shutdown().await;
}
