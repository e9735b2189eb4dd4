//! Deleting a stream, for now or for ever.

use bytes::Bytes;
use prost::Message;
use wire::error::{Error, Policy, Which};
use wire::proto::streams::delete_resp::PositionOption;
use wire::proto::streams::{
    DeleteReq, DeleteResp, TombstoneReq, TombstoneResp, delete_req, tombstone_req, tombstone_resp,
};
use wire::proto::{Empty, StreamIdentifier};

use crate::append::{Expectation, Time, WriteError, write};
use crate::calls;
use crate::connection::Connection;

/// What becomes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone until it is appended to again, and goes on with its next revision then.
    Soft,
    /// It is gone for ever, and so is its name.
    Tombstone,
}

/// Deletes a stream, within the time; answers where in the log that stands, commit and prepare.
pub async fn delete(
    connection: &Connection,
    stream: Bytes,
    expectation: Expectation,
    deletion: Deletion,
    time: Time,
) -> Result<Option<(u64, u64)>, WriteError> {
    let deadline = time.deadline(connection);
    let stream_identifier = Some(StreamIdentifier { stream_name: stream });
    let position = match deletion {
        Deletion::Soft => {
            let options = delete_req::Options {
                stream_identifier,
                expected_stream_revision: Some(expected_for_delete(expectation)),
            };
            let answer = write(connection, deadline, |channel, left| {
                let request = DeleteReq { options: Some(options.clone()) };
                calls::delete(channel, connection.timely(request, left))
            });
            let answer = answer.await?;
            deleted(answer)
        }
        Deletion::Tombstone => {
            let options = tombstone_req::Options {
                stream_identifier,
                expected_stream_revision: Some(expected_for_tombstone(expectation)),
            };
            let answer = write(connection, deadline, |channel, left| {
                let request = TombstoneReq { options: Some(options.clone()) };
                calls::tombstone(channel, connection.timely(request, left))
            });
            let answer = answer.await?;
            tombstoned(answer)
        }
    };
    position.map_err(|message| {
        let error = Error::Undecodable { what: Which::Answer, message };
        let may_be_written = Policy::of(&error).may_be_written;
        WriteError { error, may_be_written }
    })
}

fn expected_for_delete(expectation: Expectation) -> delete_req::options::ExpectedStreamRevision {
    use delete_req::options::ExpectedStreamRevision as Expected;
    match expectation {
        Expectation::Any => Expected::Any(Empty {}),
        Expectation::NoStream => Expected::NoStream(Empty {}),
        Expectation::StreamExists => Expected::StreamExists(Empty {}),
        Expectation::Revision(revision) => Expected::Revision(revision),
    }
}

fn expected_for_tombstone(expectation: Expectation) -> tombstone_req::options::ExpectedStreamRevision {
    use tombstone_req::options::ExpectedStreamRevision as Expected;
    match expectation {
        Expectation::Any => Expected::Any(Empty {}),
        Expectation::NoStream => Expected::NoStream(Empty {}),
        Expectation::StreamExists => Expected::StreamExists(Empty {}),
        Expectation::Revision(revision) => Expected::Revision(revision),
    }
}

fn deleted(answer: Bytes) -> Result<Option<(u64, u64)>, String> {
    let answer = DeleteResp::decode(answer).map_err(|error| error.to_string())?;
    Ok(match answer.position_option {
        Some(PositionOption::Position(at)) => Some((at.commit_position, at.prepare_position)),
        Some(PositionOption::NoPosition(_)) | None => None,
    })
}

fn tombstoned(answer: Bytes) -> Result<Option<(u64, u64)>, String> {
    let answer = TombstoneResp::decode(answer).map_err(|error| error.to_string())?;
    Ok(match answer.position_option {
        Some(tombstone_resp::PositionOption::Position(at)) => Some((at.commit_position, at.prepare_position)),
        Some(tombstone_resp::PositionOption::NoPosition(_)) | None => None,
    })
}
