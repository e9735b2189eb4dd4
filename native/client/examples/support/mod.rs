//! What the examples that read a stream have in common, the server's too: they ask for the same in the same way.

use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::Options;
use wire::proto::streams::read_req::options::all_options::AllOption;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, ReadDirection, StreamOption, StreamOptions, UuidOption,
    uuid_option,
};
use wire::proto::{Empty, StreamIdentifier};

/// The windows of streams and connections, in bytes.
pub const WINDOW: u32 = 1024 * 1024;

/// What the log of all streams is called.
const LOG: &str = "$all";

/// The first `count` events of a stream, or of the log.
pub fn request(stream: String, count: u64) -> ReadReq {
    let what = if stream == LOG {
        StreamOption::All(AllOptions { all_option: Some(AllOption::Start(Empty {})) })
    } else {
        StreamOption::Stream(StreamOptions {
            stream_identifier: Some(StreamIdentifier { stream_name: stream.into() }),
            revision_option: Some(RevisionOption::Start(Empty {})),
        })
    };
    ReadReq {
        options: Some(Options {
            read_direction: ReadDirection::Forwards.into(),
            resolve_links: true,
            uuid_option: Some(UuidOption { content: Some(uuid_option::Content::Structured(Empty {})) }),
            control_option: None,
            stream_option: Some(what),
            count_option: Some(CountOption::Count(count)),
            filter_option: Some(FilterOption::NoFilter(Empty {})),
        }),
    }
}
