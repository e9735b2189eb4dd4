//! `Streams.Read`: what is asked for, and whether it can be.

use store_core::{Direction, LAST_REVISION, Right};
use tonic::Status;
use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::Options;
use wire::proto::streams::read_req::options::all_options::AllOption;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::uuid_option::Content;
use wire::proto::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, StreamOptions,
};

use crate::answers::Answers;
use crate::filter::Filter;
use crate::form::{Form, Origin};
use crate::messages::Ids;
use crate::node::Context;
use crate::target::stream_name;
use crate::{fault, filtered, reading, subscription};

/// What reading the log takes the rights of.
const ALL: &str = "$all";
const OPTIONS: &str = "EventStore.Client.Streams.ReadReq+Types+Options";

/// Answers a read or a subscription.
pub async fn read(context: Context, request: ReadReq) -> Result<Answers, Status> {
    let engine = context.engine();
    let options = request.options.ok_or_else(fault::handler)?;
    let ids = ids(&options)?;
    let Some(source) = &options.stream_option else {
        return Err(Status::invalid_argument(format!(
            "'None' is not a valid {OPTIONS}+StreamOptionOneofCase"
        )));
    };
    check_combination(&options, source)?;
    let start = match source {
        StreamOption::Stream(stream) => stream_start(stream)?,
        StreamOption::All(all) => all_start(all)?,
    };
    let form = Form {
        start,
        direction: if options.read_direction == 0 { Direction::Forwards } else { Direction::Backwards },
        resolve: options.resolve_links,
        ids,
        control: options.control_option.is_some_and(|option| option.compatibility >= 1),
    };
    let subscription = !matches!(options.count_option, Some(CountOption::Count(_)));
    if let Err(refused) = context.check_leader() {
        return if subscription { Ok(subscription::refused(refused)) } else { Err(refused) };
    }
    let name = match source {
        StreamOption::Stream(stream) => stream_name(stream.stream_identifier.as_ref())?,
        StreamOption::All(_) => ALL.to_owned(),
    };
    context.allow(&name, Right::Read).await?;
    let filter = match &options.filter_option {
        Some(FilterOption::Filter(filter)) => Some(Filter::new(filter.clone()).await?),
        _ => None,
    };
    let answers = match (source, options.count_option) {
        (StreamOption::Stream(_), Some(CountOption::Count(count))) => {
            reading::stream(engine, name, form, count).await
        }
        (StreamOption::Stream(_), _) => subscription::stream(engine, name, form).await,
        (StreamOption::All(_), Some(CountOption::Count(count))) => {
            reading::all(engine, form, filter, count).await
        }
        (StreamOption::All(_), _) => match filter {
            Some(filter) => filtered::all(engine, form, filter).await,
            None => subscription::all(engine, form).await,
        },
    };
    Ok(context.node.troubles.befall(answers?, subscription))
}

fn ids(options: &Options) -> Result<Ids, Status> {
    let Some(option) = &options.uuid_option else {
        let text = format!(" `uuidOption` is a required argument of type {OPTIONS}+Types+UUIDOption");
        return Err(Status::invalid_argument(text));
    };
    Ok(match option.content {
        Some(Content::String(_)) => Ids::Text,
        _ => Ids::Structured,
    })
}

/// A filter is for the log alone, a subscription goes forwards, and nothing may be left out.
fn check_combination(options: &Options, source: &StreamOption) -> Result<(), Status> {
    let (source, all) = match source {
        StreamOption::Stream(_) => ("Stream", false),
        StreamOption::All(_) => ("All", true),
    };
    let (count, subscription) = match options.count_option {
        Some(CountOption::Count(_)) => ("Count", false),
        Some(CountOption::Subscription(_)) => ("Subscription", true),
        None => ("None", false),
    };
    let direction = match options.read_direction {
        0 => "Forwards".to_owned(),
        1 => "Backwards".to_owned(),
        other => other.to_string(),
    };
    let filter = match options.filter_option {
        Some(FilterOption::Filter(_)) => "Filter",
        Some(FilterOption::NoFilter(_)) => "NoFilter",
        None => "None",
    };
    let possible = count != "None"
        && filter != "None"
        && (options.read_direction == 0 || options.read_direction == 1 && !subscription)
        && (all || filter == "NoFilter");
    if possible {
        return Ok(());
    }
    let text = format!("The combination of ({source}, {count}, {direction}, {filter}) is invalid.");
    Err(Status::invalid_argument(text))
}

fn stream_start(stream: &StreamOptions) -> Result<Origin, Status> {
    match &stream.revision_option {
        Some(RevisionOption::Start(_)) => Ok(Origin::Start),
        Some(RevisionOption::End(_)) | Some(RevisionOption::Revision(u64::MAX)) => Ok(Origin::End),
        Some(RevisionOption::Revision(revision)) if *revision <= LAST_REVISION => Ok(Origin::At(*revision)),
        _ => Err(fault::handler()),
    }
}

/// Commit and prepare are the same for every event; the commit is where it is.
fn all_start(all: &AllOptions) -> Result<Origin, Status> {
    match &all.all_option {
        Some(AllOption::Start(_)) => Ok(Origin::Start),
        Some(AllOption::End(_)) => Ok(Origin::End),
        Some(AllOption::Position(position)) => match (position.commit_position, position.prepare_position) {
            (u64::MAX, u64::MAX) => Ok(Origin::End),
            // No event is there: it is where the log begins.
            (0, 0) => Ok(Origin::Start),
            (commit, prepare) if prepare > commit || commit > LAST_REVISION => Err(fault::handler()),
            (commit, prepare) if prepare < commit => Ok(Origin::Before(commit)),
            (commit, _) => Ok(Origin::At(commit)),
        },
        None => Err(fault::handler()),
    }
}
