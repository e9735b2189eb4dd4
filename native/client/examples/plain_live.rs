//! When a plain tonic subscriber has the events of a stream that are appended while it waits for them.
//!
//! `plain_live HOST:PORT STREAM COUNT` subscribes from the end of the stream and prints `subscribed` once the server has
//! said so; then, when it has had COUNT events, the time of each in a line of its own, in ns of the system's clock.

mod support;

use std::error::Error;
use std::time::SystemTime;

use support::WINDOW;
use tonic::transport::Endpoint;
use wire::proto::Empty;
use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::options::stream_options::RevisionOption;
use wire::proto::streams::read_req::options::{CountOption, StreamOption, SubscriptionOptions};
use wire::proto::streams::read_resp::Content;
use wire::proto::streams::streams_client::StreamsClient;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: plain_live HOST:PORT STREAM COUNT");
    let (address, stream, count) = (next()?, next()?, next()?.parse::<usize>()?);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let mut client = StreamsClient::new(endpoint.connect().await?);
    let mut answers = client.read(subscription(stream)).await?.into_inner();
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        match answers.message().await?.ok_or("the server ended the subscription")?.content {
            Some(Content::Event(event)) => {
                times.push(SystemTime::now());
                std::hint::black_box(&event);
            }
            Some(Content::Confirmation(_)) => println!("subscribed"),
            _ => {}
        }
    }
    for time in times {
        println!("{}", time.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos());
    }
    Ok(())
}

/// What is appended to the stream from now on.
fn subscription(stream: String) -> ReadReq {
    let mut request = support::request(stream, 0);
    if let Some(options) = &mut request.options {
        options.count_option = Some(CountOption::Subscription(SubscriptionOptions {}));
        if let Some(StreamOption::Stream(stream)) = &mut options.stream_option {
            stream.revision_option = Some(RevisionOption::End(Empty {}));
        }
    }
    request
}
