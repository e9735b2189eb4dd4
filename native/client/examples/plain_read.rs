//! What reading costs at least: a tonic and prost loop that does nothing with the events.
//!
//! `plain_read HOST:PORT STREAM COUNT [CA]` prints `events N ns N cpu_ns N`: wall time from the call to the last event, and
//! the process's CPU time in between. STREAM is `$all` for the log of all streams. With CA, a file, it connects over TLS.

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::error::Error;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use wire::proto::streams::read_resp::Content;
use wire::proto::streams::streams_client::StreamsClient;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: plain_read HOST:PORT STREAM COUNT [CA]");
    let (address, stream, count) = (next()?, next()?, next()?.parse::<u64>()?);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(support::WINDOW)
        .initial_connection_window_size(support::WINDOW);
    let channel = match arguments.next() {
        Some(ca) => endpoint.connect_with_connector(tls::Connector::trusting(&ca)?).await?,
        None => endpoint.connect().await?,
    };
    let mut client = StreamsClient::new(channel).max_decoding_message_size(17 * 1024 * 1024);

    let (began, cpu) = (Instant::now(), cpu()?);
    let mut answers = client.read(support::request(stream, count)).await?.into_inner();
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

/// User and system time of all threads.
fn cpu() -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("/proc/self/stat has no name")?;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
