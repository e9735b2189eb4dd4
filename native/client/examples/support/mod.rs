//! What the examples that read a stream have in common, the server's too: they ask for the same in the same way.

use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::Options;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{
    CountOption, FilterOption, ReadDirection, StreamOption, StreamOptions, UuidOption, uuid_option,
};
use wire::proto::{Empty, StreamIdentifier};

/// The windows of streams and connections, in bytes.
pub const WINDOW: u32 = 1024 * 1024;

/// The first `count` events of a stream.
pub fn request(stream: String, count: u64) -> ReadReq {
    ReadReq {
        options: Some(Options {
            read_direction: ReadDirection::Forwards.into(),
            resolve_links: true,
            uuid_option: Some(UuidOption { content: Some(uuid_option::Content::Structured(Empty {})) }),
            control_option: None,
            stream_option: Some(StreamOption::Stream(StreamOptions {
                stream_identifier: Some(StreamIdentifier { stream_name: stream.into() }),
                revision_option: Some(RevisionOption::Start(Empty {})),
            })),
            count_option: Some(CountOption::Count(count)),
            filter_option: Some(FilterOption::NoFilter(Empty {})),
        }),
    }
}
