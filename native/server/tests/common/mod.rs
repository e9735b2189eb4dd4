//! What the tests of the server share: a client, and a server in a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tonic::transport::Channel;
use wire::proto::streams::append_req::options::ExpectedStreamRevision;
use wire::proto::streams::append_req::{Content, Options, ProposedMessage};
use wire::proto::streams::read_req;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::uuid_option;
use wire::proto::streams::read_req::options::{
    CountOption, FilterOption, StreamOption, StreamOptions, SubscriptionOptions, UuidOption,
};
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{AppendReq, DeleteReq, ReadReq, append_resp, delete_req, read_resp};
use wire::proto::{Empty, StreamIdentifier, Uuid};

/// A server in a process, killed when it is dropped.
pub struct Process {
    pub child: Child,
    pub address: String,
}

impl Process {
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With more arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_penstock-server"))
            .args(["--port", "0", "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub type Client = StreamsClient<Channel>;

pub async fn client(address: &str) -> Client {
    StreamsClient::connect(format!("http://{address}")).await.unwrap()
}

pub fn name(stream: &str) -> Option<StreamIdentifier> {
    Some(StreamIdentifier { stream_name: stream.to_owned().into() })
}

pub fn event(data: Vec<u8>) -> ProposedMessage {
    let metadata = [("type", "T"), ("content-type", "application/json")];
    ProposedMessage {
        id: Some(Uuid { value: Some(wire::proto::uuid::Value::String(uuid::Uuid::new_v4().to_string())) }),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        custom_metadata: Vec::new().into(),
        data: data.into(),
    }
}

/// Appends events; the revision of the last one, or why not.
pub async fn append(
    client: &mut Client,
    stream: &str,
    expected: ExpectedStreamRevision,
    events: Vec<ProposedMessage>,
) -> Result<u64, tonic::Status> {
    let options = Options { stream_identifier: name(stream), expected_stream_revision: Some(expected) };
    let contents = std::iter::once(Content::Options(options))
        .chain(events.into_iter().map(Content::ProposedMessage))
        .map(|content| AppendReq { content: Some(content) });
    let requests = tokio_stream::iter(contents.collect::<Vec<_>>());
    match client.append(requests).await?.into_inner().result {
        Some(append_resp::Result::Success(success)) => match success.current_revision_option {
            Some(append_resp::success::CurrentRevisionOption::CurrentRevision(revision)) => Ok(revision),
            other => Err(tonic::Status::unknown(format!("{other:?}"))),
        },
        other => Err(tonic::Status::failed_precondition(format!("{other:?}"))),
    }
}

/// Deletes a stream softly.
pub async fn delete(client: &mut Client, stream: &str) -> Result<(), tonic::Status> {
    use wire::proto::streams::delete_req::options::ExpectedStreamRevision as Asked;
    let expected_stream_revision = Some(Asked::Any(Empty {}));
    let options = delete_req::Options { stream_identifier: name(stream), expected_stream_revision };
    client.delete(DeleteReq { options: Some(options) }).await.map(|_| ())
}

pub fn any() -> ExpectedStreamRevision {
    ExpectedStreamRevision::Any(Empty {})
}

/// A read of a stream from its start; without a count a subscription.
pub fn read(stream: &str, count: Option<u64>) -> ReadReq {
    ReadReq {
        options: Some(read_req::Options {
            stream_option: Some(StreamOption::Stream(StreamOptions {
                stream_identifier: name(stream),
                revision_option: Some(RevisionOption::Start(Empty {})),
            })),
            read_direction: 0,
            resolve_links: false,
            count_option: Some(match count {
                Some(count) => CountOption::Count(count),
                None => CountOption::Subscription(SubscriptionOptions {}),
            }),
            filter_option: Some(FilterOption::NoFilter(Empty {})),
            uuid_option: Some(UuidOption { content: Some(uuid_option::Content::String(Empty {})) }),
            control_option: None,
        }),
    }
}

/// The revision of an event among the answers to a read.
pub fn revision(content: &Option<read_resp::Content>) -> Option<u64> {
    match content {
        Some(read_resp::Content::Event(event)) => event.event.as_ref().map(|event| event.stream_revision),
        _ => None,
    }
}

/// All events of a stream: revision and data.
pub async fn all(client: &mut Client, stream: &str) -> Vec<(u64, Vec<u8>)> {
    let mut answers = client.read(read(stream, Some(u64::MAX))).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        if let Some(read_resp::Content::Event(event)) = answer.content {
            let event = event.event.unwrap();
            found.push((event.stream_revision, event.data.to_vec()));
        }
    }
    found
}
