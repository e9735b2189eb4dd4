//! `Streams.Append`.

use store_core::{Answer as Written, Expected, Right};
use tonic::Status;
use wire::proto::Empty;
use wire::proto::streams::append_req::options::ExpectedStreamRevision;
use wire::proto::streams::append_req::{Content, Options};
use wire::proto::streams::append_resp::success::{CurrentRevisionOption, PositionOption};
use wire::proto::streams::append_resp::wrong_expected_version as wrong;
use wire::proto::streams::append_resp::{Position, Result as Answer, Success, WrongExpectedVersion};
use wire::proto::streams::{AppendReq, AppendResp};

use crate::answers::Answers;
use crate::fault;
use crate::node::Context;
use crate::proposal::Proposal;
use crate::requests::Requests;
use crate::target::{expected_revision, stream_name};

/// Appends what is sent up to the end of the requests.
pub async fn append(context: Context, mut requests: Requests<AppendReq>) -> Result<Answers, Status> {
    context.check_leader()?;
    let Some(Content::Options(options)) = requests.next().await?.and_then(|request| request.content) else {
        return Err(fault::handler());
    };
    let (name, asked, expected) = target(options)?;
    context.allow(&name, Right::Write).await?;
    let mut proposal = Proposal::new(requests.allowance(), name.len())?;
    while let Some(request) = requests.next().await? {
        let Some(Content::ProposedMessage(event)) = request.content else { return Err(fault::handler()) };
        proposal.add(event.id, event.metadata, event.custom_metadata, event.data)?;
    }
    let (command, held) = proposal.into_command(name, expected);
    let appended =
        context.node.write(command, Some(held), context.caller.deadline).await.map_err(fault::of)?;
    Ok(Answers::one(&AppendResp { result: Some(answer(appended, asked)) }))
}

fn target(options: Options) -> Result<(String, ExpectedStreamRevision, Expected), Status> {
    let Some(asked) = options.expected_stream_revision else {
        let kind = "EventStore.Client.Streams.AppendReq+Types+Options+ExpectedStreamRevisionOneofCase";
        return Err(Status::invalid_argument(format!("'None' is not a valid {kind}")));
    };
    let expected = match asked {
        ExpectedStreamRevision::Revision(revision) => {
            expected_revision(revision).ok_or_else(fault::handler)?
        }
        ExpectedStreamRevision::NoStream(_) => Expected::NoStream,
        ExpectedStreamRevision::Any(_) => Expected::Any,
        ExpectedStreamRevision::StreamExists(_) => Expected::StreamExists,
    };
    Ok((stream_name(options.stream_identifier.as_ref())?, asked, expected))
}

fn answer(appended: Written, asked: ExpectedStreamRevision) -> Answer {
    match appended {
        Written::Done { revision, position } => Answer::Success(Success {
            current_revision_option: Some(match revision {
                Some(revision) => CurrentRevisionOption::CurrentRevision(revision),
                None => CurrentRevisionOption::NoStream(Empty {}),
            }),
            position_option: Some(match position {
                Some(position) => PositionOption::Position(Position {
                    commit_position: position,
                    prepare_position: position,
                }),
                None => PositionOption::NoPosition(Empty {}),
            }),
        }),
        Written::Wrong { current } => Answer::WrongExpectedVersion(wrong_version(current, asked)),
    }
}

/// Both generations of the same fields are filled.
fn wrong_version(current: Option<u64>, asked: ExpectedStreamRevision) -> WrongExpectedVersion {
    use wrong::{
        CurrentRevisionOption, CurrentRevisionOption2060, ExpectedRevisionOption, ExpectedRevisionOption2060,
    };
    let (current, current_2060) = match current {
        Some(revision) => (
            CurrentRevisionOption::CurrentRevision(revision),
            CurrentRevisionOption2060::CurrentRevision2060(revision),
        ),
        None => (
            CurrentRevisionOption::CurrentNoStream(Empty {}),
            CurrentRevisionOption2060::NoStream2060(Empty {}),
        ),
    };
    let (expected, expected_2060) = match asked {
        ExpectedStreamRevision::Any(_) => {
            (ExpectedRevisionOption::ExpectedAny(Empty {}), ExpectedRevisionOption2060::Any2060(Empty {}))
        }
        ExpectedStreamRevision::StreamExists(_) => (
            ExpectedRevisionOption::ExpectedStreamExists(Empty {}),
            ExpectedRevisionOption2060::StreamExists2060(Empty {}),
        ),
        ExpectedStreamRevision::NoStream(_) => (
            ExpectedRevisionOption::ExpectedNoStream(Empty {}),
            ExpectedRevisionOption2060::ExpectedRevision2060(u64::MAX),
        ),
        ExpectedStreamRevision::Revision(revision) => (
            ExpectedRevisionOption::ExpectedRevision(revision),
            ExpectedRevisionOption2060::ExpectedRevision2060(revision),
        ),
    };
    WrongExpectedVersion {
        current_revision_option_20_6_0: Some(current_2060),
        expected_revision_option_20_6_0: Some(expected_2060),
        current_revision_option: Some(current),
        expected_revision_option: Some(expected),
    }
}
