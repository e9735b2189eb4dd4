//! `Streams.Delete` and `Streams.Tombstone`. Here a wrong expectation is an error, unlike with an append.

use store_core::{Answer, Command, Expected, Right};
use tonic::{Code, Status};
use wire::proto::Empty;
use wire::proto::streams::{
    DeleteReq, DeleteResp, TombstoneReq, TombstoneResp, delete_req, delete_resp, tombstone_req,
    tombstone_resp,
};

use crate::answers::Answers;
use crate::fault;
use crate::node::Context;
use crate::target::{expected_revision, stream_name};

/// Deletes a stream softly.
pub async fn delete(context: Context, request: DeleteReq) -> Result<Answers, Status> {
    use delete_req::options::ExpectedStreamRevision as Asked;
    let options = request.options.ok_or_else(fault::handler)?;
    let expected = match options.expected_stream_revision {
        Some(Asked::Revision(revision)) => expected_revision(revision).ok_or_else(fault::handler)?,
        Some(Asked::NoStream(_)) => Expected::NoStream,
        Some(Asked::Any(_)) => Expected::Any,
        Some(Asked::StreamExists(_)) => Expected::StreamExists,
        None => return Err(no_expectation("Delete")),
    };
    let stream = stream_name(options.stream_identifier.as_ref())?;
    let position_option = Some(match run(&context, Command::Delete { stream, expected }, expected).await? {
        Some(position) => delete_resp::PositionOption::Position(delete_resp::Position {
            commit_position: position,
            prepare_position: position,
        }),
        None => delete_resp::PositionOption::NoPosition(Empty {}),
    });
    Ok(Answers::one(&DeleteResp { position_option }))
}

/// Deletes a stream for ever.
pub async fn tombstone(context: Context, request: TombstoneReq) -> Result<Answers, Status> {
    use tombstone_req::options::ExpectedStreamRevision as Asked;
    let options = request.options.ok_or_else(fault::handler)?;
    let expected = match options.expected_stream_revision {
        Some(Asked::Revision(revision)) => expected_revision(revision).ok_or_else(fault::handler)?,
        Some(Asked::NoStream(_)) => Expected::NoStream,
        Some(Asked::Any(_)) => Expected::Any,
        Some(Asked::StreamExists(_)) => Expected::StreamExists,
        None => return Err(no_expectation("Tombstone")),
    };
    let stream = stream_name(options.stream_identifier.as_ref())?;
    let position_option =
        Some(match run(&context, Command::Tombstone { stream, expected }, expected).await? {
            Some(position) => tombstone_resp::PositionOption::Position(tombstone_resp::Position {
                commit_position: position,
                prepare_position: position,
            }),
            None => tombstone_resp::PositionOption::NoPosition(Empty {}),
        });
    Ok(Answers::one(&TombstoneResp { position_option }))
}

/// The position of what says that the stream is deleted.
async fn run(context: &Context, command: Command, expected: Expected) -> Result<Option<u64>, Status> {
    context.check_leader()?;
    let name = command.stream().to_owned();
    context.allow(&name, Right::Delete).await?;
    let written = context.node.write(command, None, context.caller.deadline).await;
    match written.map_err(fault::of)? {
        Answer::Done { position, .. } => Ok(position),
        Answer::Wrong { current } => Err(wrong_version(&name, expected, current)),
    }
}

fn no_expectation(request: &str) -> Status {
    let kind =
        format!("EventStore.Client.Streams.{request}Req+Types+Options+ExpectedStreamRevisionOneofCase");
    Status::invalid_argument(format!("'None' is not a valid {kind}"))
}

fn wrong_version(name: &str, expected: Expected, current: Option<u64>) -> Status {
    let expected = match expected {
        Expected::Any => "-2".to_owned(),
        Expected::NoStream => "-1".to_owned(),
        Expected::StreamExists => "-4".to_owned(),
        Expected::Revision(revision) => revision.to_string(),
    };
    let actual = current.map_or("-1".to_owned(), |revision| revision.to_string());
    let text = format!(
        "Delete failed due to WrongExpectedVersion. Stream: {name}, Expected version: {expected}, Actual version: {actual}"
    );
    let fields = [("stream-name", name), ("expected-version", &expected), ("actual-version", &actual)];
    fault::exception(Code::FailedPrecondition, text, "wrong-expected-version", &fields)
}
