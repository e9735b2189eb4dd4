//! What a batch is answered: an error is a message with one packed detail.

use store_core::{Answer, Expected, Fault, MAX_APPEND};
use tonic::Code;
use wire::google;
use wire::proto::streams::BatchAppendResp;
use wire::proto::streams::batch_append_req::Options;
use wire::proto::streams::batch_append_req::options::ExpectedStreamPosition as Asked;
use wire::proto::streams::batch_append_resp::success::{CurrentRevisionOption, PositionOption};
use wire::proto::streams::batch_append_resp::{Result as Outcome, Success};
use wire::proto::wrong_expected_version::{CurrentStreamRevisionOption, ExpectedStreamPositionOption};
use wire::proto::{
    AccessDenied, AllStreamPosition, BadRequest, MaximumAppendSizeExceeded, StreamDeleted, StreamIdentifier,
    Timeout, Unknown, Uuid, WrongExpectedVersion,
};

use crate::target::expected_revision;

/// Why a batch was not written.
#[derive(Debug)]
pub enum Problem {
    /// It makes no sense.
    BadRequest(String),
    /// It came too late.
    Timeout,
    /// It is too large.
    TooLarge,
    /// There is no room to keep it until it is whole.
    NoRoom(String),
    /// Whoever asks may not.
    Denied,
    /// The store refused it.
    Refused(Fault),
}

impl Problem {
    /// What makes no sense.
    pub fn bad(text: &str) -> Self {
        Self::BadRequest(text.to_owned())
    }
}

/// What the batch expects of its stream.
pub fn expected(options: &Options) -> Result<Expected, Problem> {
    match &options.expected_stream_position {
        Some(Asked::StreamPosition(revision)) => expected_revision(*revision).ok_or_else(|| {
            Problem::bad("Specified argument was out of the range of valid values. (Parameter 'value')")
        }),
        Some(Asked::NoStream(_)) => Ok(Expected::NoStream),
        Some(Asked::Any(_)) => Ok(Expected::Any),
        Some(Asked::StreamExists(_)) => Ok(Expected::StreamExists),
        None => Err(Problem::bad("'None' is not a valid expected stream position")),
    }
}

/// The answer to a batch.
pub fn answer(
    correlation_id: Option<Uuid>,
    options: &Options,
    outcome: Result<Answer, Problem>,
) -> BatchAppendResp {
    let result = match outcome {
        Ok(Answer::Done { revision, position }) => Outcome::Success(success(revision, position)),
        Ok(Answer::Wrong { current }) => Outcome::Error(wrong_version(options, current)),
        Err(problem) => Outcome::Error(error(problem)),
    };
    BatchAppendResp {
        correlation_id,
        result: Some(result),
        stream_identifier: options.stream_identifier.clone(),
        expected_stream_position: None,
    }
}

fn success(revision: Option<u64>, position: Option<u64>) -> Success {
    Success {
        current_revision_option: Some(match revision {
            Some(revision) => CurrentRevisionOption::CurrentRevision(revision),
            None => CurrentRevisionOption::NoStream(()),
        }),
        position_option: Some(match position {
            Some(position) => PositionOption::Position(AllStreamPosition {
                commit_position: position,
                prepare_position: position,
            }),
            None => PositionOption::NoPosition(()),
        }),
    }
}

fn wrong_version(options: &Options, current: Option<u64>) -> google::rpc::Status {
    let detail = WrongExpectedVersion {
        current_stream_revision_option: Some(match current {
            Some(revision) => CurrentStreamRevisionOption::CurrentStreamRevision(revision),
            None => CurrentStreamRevisionOption::CurrentNoStream(()),
        }),
        expected_stream_position_option: expected(options).ok().map(|expected| match expected {
            Expected::Any => ExpectedStreamPositionOption::ExpectedAny(()),
            Expected::StreamExists => ExpectedStreamPositionOption::ExpectedStreamExists(()),
            Expected::NoStream => ExpectedStreamPositionOption::ExpectedNoStream(()),
            Expected::Revision(revision) => ExpectedStreamPositionOption::ExpectedStreamPosition(revision),
        }),
    };
    status(Code::AlreadyExists, "WrongExpectedVersion", &detail)
}

fn error(problem: Problem) -> google::rpc::Status {
    match problem {
        Problem::BadRequest(message) => status(Code::InvalidArgument, "BadRequest", &BadRequest { message }),
        Problem::Timeout => status(Code::DeadlineExceeded, "Timeout", &Timeout {}),
        Problem::Denied => status(Code::PermissionDenied, "AccessDenied", &AccessDenied {}),
        Problem::TooLarge => {
            let detail = MaximumAppendSizeExceeded { max_append_size: MAX_APPEND as u32 };
            status(Code::InvalidArgument, "MaximumAppendSizeExceeded", &detail)
        }
        // The real server has no such limit and no detail for it.
        Problem::NoRoom(message) => {
            google::rpc::Status { message, ..status(Code::ResourceExhausted, "Unknown", &Unknown {}) }
        }
        Problem::Refused(Fault::StreamDeleted(name)) => {
            let stream_identifier = Some(StreamIdentifier { stream_name: name.into() });
            status(Code::NotFound, "StreamDeleted", &StreamDeleted { stream_identifier })
        }
        Problem::Refused(Fault::Late) => error(Problem::Timeout),
        Problem::Refused(fault) => {
            tracing::error!(%fault, "a batch was not written");
            status(Code::Unknown, "Unknown", &Unknown {})
        }
    }
}

fn status(code: Code, name: &str, detail: &impl prost::Message) -> google::rpc::Status {
    google::rpc::Status {
        code: code.into(),
        message: name.to_owned(),
        details: Some(prost_types::Any {
            type_url: format!("type.googleapis.com/event_store.client.{name}"),
            value: detail.encode_to_vec(),
        }),
    }
}
