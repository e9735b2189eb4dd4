//! Appending to a stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;
use wire::error::Error;
use wire::proto::streams::append_req::options::ExpectedStreamRevision;
use wire::proto::streams::append_req::{Content, Options, ProposedMessage};
use wire::proto::streams::append_resp::success::{CurrentRevisionOption, PositionOption};
use wire::proto::streams::append_resp::{self, Success};
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{AppendReq, AppendResp};
use wire::proto::{Empty, StreamIdentifier, Uuid as WireUuid, uuid::Value};

use crate::connection::Connection;
use crate::read::timely;

/// What a stream is expected to be when it is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Anything.
    Any,
    /// It does not exist.
    NoStream,
    /// It exists.
    StreamExists,
    /// Its last event has this revision.
    Revision(u64),
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id: an append of the same ids is done once.
    pub id: Uuid,
    /// Its type.
    pub event_type: String,
    /// `application/json`, or anything else for bytes.
    pub content_type: String,
    /// Its body.
    pub data: Bytes,
    /// Its custom metadata.
    pub custom_metadata: Bytes,
}

/// Where an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The stream's last revision; `None` for an append of nothing to a stream that does not exist.
    pub revision: Option<u64>,
    /// The log position of the last event, commit and prepare.
    pub position: Option<(u64, u64)>,
}

/// Appends all of the events or none.
pub async fn append(
    connection: &Connection,
    stream: Bytes,
    expectation: Expectation,
    events: Vec<NewEvent>,
) -> Result<Appended, Error> {
    let name = String::from_utf8_lossy(&stream).into_owned();
    let requests = requests(stream, expectation, events);
    let mut client = StreamsClient::new(connection.shared());
    let call = async {
        let answer = client.append(connection.timely(tokio_stream::iter(requests))).await;
        answer.map_err(Error::from)
    };
    appended(timely(connection, call).await?.into_inner(), name)
}

fn requests(
    stream: Bytes,
    expectation: Expectation,
    events: Vec<NewEvent>,
) -> impl Iterator<Item = AppendReq> {
    let expected = match expectation {
        Expectation::Any => ExpectedStreamRevision::Any(Empty {}),
        Expectation::NoStream => ExpectedStreamRevision::NoStream(Empty {}),
        Expectation::StreamExists => ExpectedStreamRevision::StreamExists(Empty {}),
        Expectation::Revision(revision) => ExpectedStreamRevision::Revision(revision),
    };
    let options = Content::Options(Options {
        stream_identifier: Some(StreamIdentifier { stream_name: stream }),
        expected_stream_revision: Some(expected),
    });
    let events = events.into_iter().map(|event| Content::ProposedMessage(proposed(event)));
    std::iter::once(options).chain(events).map(|content| AppendReq { content: Some(content) })
}

fn proposed(event: NewEvent) -> ProposedMessage {
    ProposedMessage {
        id: Some(WireUuid { value: Some(Value::String(event.id.to_string())) }),
        metadata: BTreeMap::from([
            ("type".to_owned(), event.event_type),
            ("content-type".to_owned(), event.content_type),
        ]),
        custom_metadata: event.custom_metadata,
        data: event.data,
    }
}

fn appended(answer: AppendResp, stream: String) -> Result<Appended, Error> {
    match answer.result {
        Some(append_resp::Result::Success(success)) => Ok(placed(&success)),
        Some(append_resp::Result::WrongExpectedVersion(wrong)) => Err(Error::from_append(stream, &wrong)),
        None => {
            Err(Error::Protocol { message: "an append was answered with neither success nor failure".into() })
        }
    }
}

fn placed(success: &Success) -> Appended {
    Appended {
        revision: match success.current_revision_option {
            Some(CurrentRevisionOption::CurrentRevision(revision)) => Some(revision),
            _ => None,
        },
        position: match &success.position_option {
            Some(PositionOption::Position(at)) => Some((at.commit_position, at.prepare_position)),
            _ => None,
        },
    }
}
