//! Appending to a stream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::Status;
use uuid::Uuid;
use wire::error::{Error, Policy, Which, was_sent};
use wire::proto::streams::append_req::options::ExpectedStreamRevision;
use wire::proto::streams::append_req::{Content, Options, ProposedMessage};
use wire::proto::streams::append_resp::success::{CurrentRevisionOption, PositionOption};
use wire::proto::streams::append_resp::{self, Success};
use wire::proto::streams::{AppendReq, AppendResp};
use wire::proto::{Empty, StreamIdentifier, Uuid as WireUuid, uuid::Value};

use crate::calls;
use crate::connection::{Connection, Limit};
use crate::read::timely;
use crate::road::Channel;

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

/// Why a write has no answer that says what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    /// What happened.
    pub error: Error,
    /// Whether it may have been done all the same. Of an append, the same one, with the same ids, finds out.
    pub may_be_written: bool,
}

/// Appends all of the events or none, within the time, or else within the connection's deadline.
pub async fn append(
    connection: &Connection,
    stream: Bytes,
    expectation: Expectation,
    events: Vec<NewEvent>,
    time: Time,
) -> Result<Appended, WriteError> {
    let name = String::from_utf8_lossy(&stream).into_owned();
    // only where the leader is wanted is an append refused by whoever does not lead, and made again
    let mut kept = Some(events);
    let again = connection.wants_leader();
    let written = write(connection, time.deadline(connection), |channel, left| {
        let events = if again { kept.clone() } else { kept.take() };
        let stream = stream.clone();
        let connection = connection.clone();
        async move {
            let events = events.ok_or_else(|| Status::internal("an append is made once"))?;
            let requests = tokio_stream::iter(requests(stream, expectation, events));
            calls::append(channel, connection.timely(requests, left)).await
        }
    });
    written.await.and_then(|answer| {
        appended(answer, name).map_err(|error| {
            let may_be_written = Policy::of(&error).may_be_written;
            WriteError { error, may_be_written }
        })
    })
}

/// Makes a call that writes, also a second time where the leader is wanted and the first node was not it. The call is given
/// how much time is left.
pub(crate) async fn write<F>(
    connection: &Connection,
    deadline: Option<Duration>,
    mut call: impl FnMut(Channel, Option<Duration>) -> F,
) -> Result<Bytes, WriteError>
where
    F: Future<Output = Result<Bytes, Status>>,
{
    let limit = Limit::of(deadline);
    // what had no node was not sent; a call that nobody waits for any longer was
    let sent = AtomicBool::new(false);
    let answer = connection.call(limit, connection.wants_leader(), |node| {
        sent.store(true, Ordering::Relaxed);
        let call = call(node.shared(), limit.map(|limit| limit.left()));
        let sent = &sent;
        async move {
            let call = async {
                call.await.map_err(|status| {
                    sent.store(was_sent(&status), Ordering::Relaxed);
                    Error::from(status)
                })
            };
            timely(&node, limit, call).await
        }
    });
    answer.await.map_err(|error| {
        let may_be_written = sent.load(Ordering::Relaxed) && Policy::of(&error).may_be_written;
        WriteError { error, may_be_written }
    })
}

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// As long as the connection's deadline says.
    OfConnection,
    /// As long as it takes.
    Endless,
    /// This long.
    Limited(Duration),
}

impl Time {
    /// As a deadline for a call of this connection.
    pub(crate) fn deadline(self, connection: &Connection) -> Option<Duration> {
        match self {
            Self::OfConnection => connection.deadline(),
            Self::Endless => None,
            Self::Limited(deadline) => Some(deadline),
        }
    }
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

fn appended(answer: Bytes, stream: String) -> Result<Appended, Error> {
    let undecodable = |message: String| Error::Undecodable { what: Which::Answer, message };
    match AppendResp::decode(answer).map_err(|error| undecodable(error.to_string()))?.result {
        Some(append_resp::Result::Success(success)) => Ok(placed(&success)),
        Some(append_resp::Result::WrongExpectedVersion(wrong)) => Err(Error::from_append(stream, &wrong)),
        None => Err(undecodable("it has neither success nor failure".into())),
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
