//! The read requests.

use bytes::Bytes;
use reader_core::{Filter, LogPosition, Pattern, Start, Subject, Target};
use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::options::all_options::AllOption;
use wire::proto::streams::read_req::options::filter_options::{self, Expression};
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{
    AllOptions, ControlOption, CountOption, FilterOption, FilterOptions, Position as WirePosition,
    StreamOption, StreamOptions, SubscriptionOptions, UuidOption, uuid_option,
};
use wire::proto::streams::read_req::{Options, options::ReadDirection};
use wire::proto::{Empty, StreamIdentifier};

/// Control messages are sent to clients that say they know them.
const KNOWS_CONTROL_MESSAGES: u32 = 21;

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From older to newer.
    Forwards,
    /// From newer to older.
    Backwards,
}

/// Where a read begins. Positions are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the first event.
    Start,
    /// With the last event; forwards there is none from here.
    End,
    /// With the event of this revision.
    Revision(u64),
}

/// A read of one stream.
#[derive(Debug, Clone)]
pub struct Read {
    /// The stream's name.
    pub stream: Bytes,
    /// Where to begin.
    pub from: From,
    /// Which way.
    pub direction: Direction,
    /// How many events at most.
    pub count: u64,
    /// Whether links are answered with the events they lead to.
    pub resolve_links: bool,
}

impl Read {
    pub(crate) fn request(&self) -> ReadReq {
        let from = match self.from {
            From::Start => RevisionOption::Start(Empty {}),
            From::End => RevisionOption::End(Empty {}),
            From::Revision(revision) => RevisionOption::Revision(revision),
        };
        let count = CountOption::Count(self.count);
        request(stream(&self.stream, from), self.direction, count, no_filter(), self.resolve_links)
    }
}

/// The last event of the log.
pub(crate) fn last_of_log() -> ReadReq {
    let log = AllOptions { all_option: Some(AllOption::End(Empty {})) };
    let count = CountOption::Count(1);
    request(StreamOption::All(log), Direction::Backwards, count, no_filter(), false)
}

/// A subscription.
pub(crate) fn subscribe(target: &Target, resolve_links: bool) -> ReadReq {
    let count = CountOption::Subscription(SubscriptionOptions {});
    let (what, filter) = match target {
        Target::Stream { name, from } => (stream(name, from_revision(*from)), no_filter()),
        Target::All { from, filter } => {
            let log = AllOptions { all_option: Some(from_position(*from)) };
            let filter = filter.as_ref().map_or_else(no_filter, |it| FilterOption::Filter(filtered(it)));
            (StreamOption::All(log), filter)
        }
    };
    request(what, Direction::Forwards, count, filter, resolve_links)
}

fn from_revision(from: Start<u64>) -> RevisionOption {
    match from {
        Start::Beginning => RevisionOption::Start(Empty {}),
        Start::End => RevisionOption::End(Empty {}),
        Start::After(revision) => RevisionOption::Revision(revision),
    }
}

fn from_position(from: Start<LogPosition>) -> AllOption {
    match from {
        Start::Beginning => AllOption::Start(Empty {}),
        Start::End => AllOption::End(Empty {}),
        Start::After(LogPosition { commit, prepare }) => {
            AllOption::Position(WirePosition { commit_position: commit, prepare_position: prepare })
        }
    }
}

fn filtered(filter: &Filter) -> FilterOptions {
    let expression = match filter.pattern() {
        Pattern::Prefixes(prefixes) => Expression { regex: String::new(), prefix: prefixes.clone() },
        Pattern::Regex(regex) => Expression { regex: regex.clone(), prefix: Vec::new() },
    };
    FilterOptions {
        filter: Some(match filter.subject() {
            Subject::Stream => filter_options::Filter::StreamIdentifier(expression),
            Subject::EventType => filter_options::Filter::EventType(expression),
        }),
        window: Some(filter_options::Window::Max(filter.window())),
        checkpoint_interval_multiplier: filter.multiplier(),
    }
}

fn no_filter() -> FilterOption {
    FilterOption::NoFilter(Empty {})
}

fn stream(name: &Bytes, from: RevisionOption) -> StreamOption {
    StreamOption::Stream(StreamOptions {
        stream_identifier: Some(StreamIdentifier { stream_name: name.clone() }),
        revision_option: Some(from),
    })
}

fn request(
    what: StreamOption,
    direction: Direction,
    count: CountOption,
    filter: FilterOption,
    links: bool,
) -> ReadReq {
    let direction = match direction {
        Direction::Forwards => ReadDirection::Forwards,
        Direction::Backwards => ReadDirection::Backwards,
    };
    ReadReq {
        options: Some(Options {
            read_direction: direction.into(),
            resolve_links: links,
            uuid_option: Some(UuidOption { content: Some(uuid_option::Content::Structured(Empty {})) }),
            control_option: Some(ControlOption { compatibility: KNOWS_CONTROL_MESSAGES }),
            stream_option: Some(what),
            count_option: Some(count),
            filter_option: Some(filter),
        }),
    }
}
