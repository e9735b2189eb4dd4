//! `PersistentSubscriptions` of a server that has no groups: each is missing, wherever it is looked for.
//!
//! There are no groups yet, and `Create` says so; what clients ask when they clean up is answered.

use store_core::Right;
use tonic::{Code, Status};
use wire::proto::persistent_subscriptions::list_req::options::ListOption;
use wire::proto::persistent_subscriptions::list_req::stream_option::StreamOption as ListedStream;
use wire::proto::persistent_subscriptions::read_req::Content;
use wire::proto::persistent_subscriptions::{
    CreateReq, DeleteReq, GetInfoReq, ListReq, ReadReq, ReplayParkedReq, UpdateReq, delete_req, get_info_req,
    read_req, replay_parked_req, update_req,
};
use wire::proto::{Empty, StreamIdentifier};

use crate::answers::Answers;
use crate::fault;
use crate::node::Context;
use crate::requests::Requests;
use crate::target::stream_name;

const ALL: &str = "$all";

/// What whoever manages groups is answered, if that is who asks and this server is asked for it: of a cluster only the
/// leader is, whether the caller says so or not.
pub fn managed(context: &Context, answer: impl FnOnce() -> Status) -> Status {
    match context.node.must_lead().and_then(|()| context.identity.operates()) {
        Ok(()) => answer(),
        Err(refused) => refused,
    }
}

/// What whoever asks for a group is answered.
pub fn informed(context: &Context, answer: impl FnOnce() -> Status) -> Status {
    match context.identity.operates() {
        Ok(()) if context.node.leads() => answer(),
        Ok(()) => fault::not_ready(),
        Err(refused) => refused,
    }
}

/// `Create`.
pub fn create(_request: CreateReq) -> Status {
    Status::unimplemented("Method is unimplemented.")
}

/// `List`.
pub fn list(request: ListReq) -> Status {
    let option = request.options.and_then(|options| options.list_option);
    let stream = match option {
        Some(ListOption::ListAllSubscriptions(_)) => Ok(ALL.to_owned()),
        Some(ListOption::ListForStream(stream)) => match stream.stream_option {
            Some(ListedStream::Stream(identifier)) => stream_name(Some(&identifier)),
            Some(ListedStream::All(_)) => Ok(ALL.to_owned()),
            None => Err(fault::handler()),
        },
        None => Err(fault::handler()),
    };
    stream.map_or_else(|refused| refused, |stream| missing(&stream, None))
}

/// `GetInfo`.
pub fn info(request: GetInfoReq) -> Status {
    let Some(options) = request.options else { return fault::handler() };
    missing_on(options.stream_option.map(Source::from), &options.group_name)
}

/// `Delete`.
pub fn delete(request: DeleteReq) -> Status {
    let Some(options) = request.options else { return fault::handler() };
    missing_on(options.stream_option.map(Source::from), &options.group_name)
}

/// `ReplayParked`.
pub fn replay_parked(request: ReplayParkedReq) -> Status {
    let Some(options) = request.options.filter(|options| options.stop_at_option.is_some()) else {
        return fault::handler();
    };
    missing_on(options.stream_option.map(Source::from), &options.group_name)
}

/// `Update`. Older clients name the stream beside its options.
pub fn update(request: UpdateReq) -> Status {
    use update_req::options::StreamOption::{All, Stream};
    let Some(options) = request.options.filter(|options| options.settings.is_some()) else {
        return fault::handler();
    };
    missing_on(
        match (options.stream_option, options.stream_identifier) {
            (Some(Stream(stream)), _) => stream.stream_identifier.map(Source::Stream),
            (Some(All(_)), _) => Some(Source::All(Empty {})),
            (None, identifier) => identifier.map(Source::Stream),
        },
        &options.group_name,
    )
}

/// `Read`. A call without requests ends well.
pub async fn read(context: Context, mut requests: Requests<ReadReq>) -> Result<Answers, Status> {
    context.node.must_lead()?;
    let Some(first) = requests.next().await? else { return Ok(Answers::new(tokio_stream::empty())) };
    let Some(Content::Options(options)) = first.content else { return Err(fault::handler()) };
    if options.uuid_option.is_none() || options.group_name.is_empty() {
        return Err(fault::handler());
    }
    let source = options.stream_option.map(Source::from);
    let stream = match &source {
        Some(Source::Stream(identifier)) => stream_name(Some(identifier))?,
        Some(Source::All(_)) | None => ALL.to_owned(),
    };
    context.allow(&stream, Right::Read).await?;
    Err(missing_on(source, &options.group_name))
}

/// What a group consumes.
enum Source {
    Stream(StreamIdentifier),
    All(Empty),
}

/// Every request has the same choice under a type of its own.
macro_rules! sources {
    ($($request:ident),*) => {
        $(impl From<$request::options::StreamOption> for Source {
            fn from(option: $request::options::StreamOption) -> Self {
                match option {
                    $request::options::StreamOption::StreamIdentifier(identifier) => Self::Stream(identifier),
                    $request::options::StreamOption::All(all) => Self::All(all),
                }
            }
        })*
    };
}

sources!(delete_req, get_info_req, read_req, replay_parked_req);

fn missing_on(source: Option<Source>, group: &str) -> Status {
    match source {
        Some(Source::Stream(identifier)) => match stream_name(Some(&identifier)) {
            Ok(stream) => missing(&stream, Some(group)),
            Err(refused) => refused,
        },
        Some(Source::All(_)) => missing(ALL, Some(group)),
        None => fault::handler(),
    }
}

fn missing(stream: &str, group: Option<&str>) -> Status {
    let text = format!("Subscription group {} on stream {stream} does not exist.", group.unwrap_or_default());
    let fields: Vec<_> = [("stream-name", stream)]
        .into_iter()
        .chain(group.filter(|group| !group.is_empty()).map(|group| ("group-name", group)))
        .collect();
    fault::exception(Code::NotFound, text, "persistent-subscription-does-not-exist", &fields)
}
