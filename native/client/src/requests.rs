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

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From<P = u64> {
    /// With the first event.
    Start,
    /// With the last event; forwards there is none from here.
    End,
    /// With the event at this place. Backwards in the log, with the one before it.
    At(P),
}

/// What is read, and from where.
#[derive(Debug, Clone)]
pub enum What {
    /// One stream.
    Stream {
        /// Its name.
        name: Bytes,
        /// Where to begin.
        from: From,
    },
    /// The log of all streams.
    All {
        /// Where to begin.
        from: From<LogPosition>,
        /// Which of its events; `None` for every one.
        filter: Option<Filter>,
    },
}

/// A read.
#[derive(Debug, Clone)]
pub struct Read {
    /// What is read, and from where.
    pub what: What,
    /// Which way.
    pub direction: Direction,
    /// How many events at most.
    pub count: u64,
    /// Whether links are answered with the events they lead to.
    pub resolve_links: bool,
}

impl Read {
    /// The name under which errors speak of it.
    pub fn name(&self) -> String {
        match &self.what {
            What::Stream { name, .. } => String::from_utf8_lossy(name).into_owned(),
            What::All { .. } => "$all".into(),
        }
    }

    pub(crate) fn request(&self) -> ReadReq {
        let (what, filter) = match &self.what {
            What::Stream { name, from } => {
                let from = match *from {
                    From::Start => RevisionOption::Start(Empty {}),
                    From::End => RevisionOption::End(Empty {}),
                    From::At(revision) => RevisionOption::Revision(revision),
                };
                (stream(name, from), no_filter())
            }
            What::All { from, filter } => {
                let from = match *from {
                    From::Start => AllOption::Start(Empty {}),
                    From::End => AllOption::End(Empty {}),
                    From::At(position) => at(position),
                };
                (log(from), maybe_filter(filter.as_ref()))
            }
        };
        request(what, self.direction, CountOption::Count(self.count), filter, self.resolve_links)
    }
}

/// The last event of the log.
pub(crate) fn last_of_log() -> ReadReq {
    let count = CountOption::Count(1);
    request(log(AllOption::End(Empty {})), Direction::Backwards, count, no_filter(), false)
}

/// A subscription.
pub(crate) fn subscribe(target: &Target, resolve_links: bool) -> ReadReq {
    let count = CountOption::Subscription(SubscriptionOptions {});
    let (what, filter) = match target {
        Target::Stream { name, from } => (stream(name, from_revision(*from)), no_filter()),
        Target::All { from, filter } => (log(from_position(*from)), maybe_filter(filter.as_ref())),
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
        Start::After(position) => at(position),
    }
}

fn at(LogPosition { commit, prepare }: LogPosition) -> AllOption {
    AllOption::Position(WirePosition { commit_position: commit, prepare_position: prepare })
}

fn log(from: AllOption) -> StreamOption {
    StreamOption::All(AllOptions { all_option: Some(from) })
}

fn maybe_filter(filter: Option<&Filter>) -> FilterOption {
    filter.map_or_else(no_filter, |filter| FilterOption::Filter(filtered(filter)))
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
