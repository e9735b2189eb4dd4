//! What reading costs at least: a tonic and prost loop that does nothing with the events.
//!
//! `plain_read HOST:PORT STREAM COUNT` prints `events N ns N cpu_ns N`: wall time from the call to the last event, and
//! the process's CPU time in between.

use std::error::Error;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{
    CountOption, FilterOption, StreamOption, StreamOptions, UuidOption, uuid_option,
};
use wire::proto::streams::read_req::{Options, options::ReadDirection};
use wire::proto::streams::read_resp::Content;
use wire::proto::streams::{ReadReq, streams_client::StreamsClient};
use wire::proto::{Empty, StreamIdentifier};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: plain_read HOST:PORT STREAM COUNT");
    let (address, stream, count) = (next()?, next()?, next()?.parse::<u64>()?);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(1024 * 1024);
    let mut client =
        StreamsClient::new(endpoint.connect().await?).max_decoding_message_size(17 * 1024 * 1024);

    let (began, cpu) = (Instant::now(), cpu()?);
    let mut answers = client.read(request(stream, count)).await?.into_inner();
    let mut events = 0_u64;
    while let Some(answer) = answers.message().await? {
        if let Some(Content::Event(event)) = answer.content {
            std::hint::black_box(&event);
            events += 1;
        }
    }
    println!("events {events} ns {} cpu_ns {}", began.elapsed().as_nanos(), (self::cpu()? - cpu).as_nanos());
    Ok(())
}

fn request(stream: String, count: u64) -> ReadReq {
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

/// User and system time of all threads.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("/proc/self/stat has no name")?;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
