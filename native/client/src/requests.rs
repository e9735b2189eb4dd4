//! The read requests.

use bytes::Bytes;
use reader_core::Start;
use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{
    ControlOption, CountOption, FilterOption, StreamOption, StreamOptions, SubscriptionOptions, UuidOption,
    uuid_option,
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
        request(&self.stream, from, self.direction, count, self.resolve_links)
    }
}

pub(crate) fn subscribe(stream: &Bytes, from: Start, resolve_links: bool) -> ReadReq {
    let from = match from {
        Start::Beginning => RevisionOption::Start(Empty {}),
        Start::End => RevisionOption::End(Empty {}),
        Start::After(revision) => RevisionOption::Revision(revision),
    };
    let count = CountOption::Subscription(SubscriptionOptions {});
    request(stream, from, Direction::Forwards, count, resolve_links)
}

fn request(
    stream: &Bytes,
    from: RevisionOption,
    direction: Direction,
    count: CountOption,
    links: bool,
) -> ReadReq {
    let stream = StreamOptions {
        stream_identifier: Some(StreamIdentifier { stream_name: stream.clone() }),
        revision_option: Some(from),
    };
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
            stream_option: Some(StreamOption::Stream(stream)),
            count_option: Some(count),
            filter_option: Some(FilterOption::NoFilter(Empty {})),
        }),
    }
}
