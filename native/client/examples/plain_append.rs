//! How many appends a server acknowledges: clients that each wait for one before they send the next.
//!
//! ```text
//! plain_append HOST:PORT CLIENTS CONNECTIONS WAY MS           appends of one event of 100 B, each client to its stream
//! plain_append HOST:PORT fill STREAM EVENTS STREAMS           a tenth of EVENTS of 100 B to STREAM, the others to STREAMS more
//! plain_append HOST:PORT fill STREAM EVENTS                   all of EVENTS to STREAM
//! plain_append HOST:PORT paced STREAM EVENTS US               events of 100 B, each US microseconds after the last was answered
//! ```
//!
//! WAY is `append`, a call for each, or `batch`, a call of `BatchAppend` that each client keeps open. Prints
//! `appends N ns N p50_ns N p99_ns N`; `paced` prints when it began each append, in a line of its own, in ns of the system's
//! clock.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;
use wire::proto::streams::append_req::options::ExpectedStreamRevision;
use wire::proto::streams::append_req::{self, Content};
use wire::proto::streams::batch_append_req::options::ExpectedStreamPosition;
use wire::proto::streams::batch_append_req::{self, ProposedMessage};
use wire::proto::streams::streams_client::StreamsClient;
use wire::proto::streams::{AppendReq, BatchAppendReq, BatchAppendResp, append_resp, batch_append_resp};
use wire::proto::uuid::{Structured, Value};
use wire::proto::{Empty, StreamIdentifier, Uuid as WireUuid};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: plain_append HOST:PORT (CLIENTS CONNECTIONS append|batch MS | fill STREAM EVENTS [STREAMS] | paced STREAM EVENTS US)";
/// Events of a batch of `fill`, and how many batches it has under way.
const FILLED: u64 = 100;
const UNDER_WAY: u64 = 64;

// One thread, so that an answer finds its client without waking another.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [address, "fill", stream, events, streams] => {
            let (events, streams) = (events.parse()?, streams.parse()?);
            fill(address, events, |number| match number % 10 {
                0 => (*stream).to_owned(),
                _ => format!("{stream}-{}", number % u64::max(streams, 1)),
            })
            .await
        }
        [address, "fill", stream, events] => fill(address, events.parse()?, |_| (*stream).to_owned()).await,
        [address, "paced", stream, events, us] => {
            paced(address, stream, events.parse()?, Duration::from_micros(us.parse()?)).await
        }
        [address, clients, connections, way @ ("append" | "batch"), ms] => {
            let time = Duration::from_millis(ms.parse()?);
            measure(address, clients.parse()?, connections.parse()?, *way == "batch", time).await
        }
        _ => Err(USAGE.into()),
    }
}

async fn connect(address: &str) -> Result<StreamsClient<Channel>, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(StreamsClient::new(endpoint.connect().await?))
}

async fn measure(
    address: &str,
    clients: usize,
    connections: usize,
    batch: bool,
    time: Duration,
) -> Result<(), Failure> {
    let mut connected = Vec::with_capacity(connections);
    for _ in 0..connections {
        connected.push(connect(address).await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = connected
        .iter()
        .cycle()
        .take(clients)
        .map(|connection| tokio::spawn(one_client(connection.clone(), batch, began + time)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let wall = began.elapsed().as_nanos();
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).map_or(0, Duration::as_nanos);
    println!("appends {} ns {wall} p50_ns {} p99_ns {}", latencies.len(), at(50), at(99));
    Ok(())
}

/// An append after the other until the time is over.
async fn one_client(
    mut client: StreamsClient<Channel>,
    batch: bool,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let stream = Bytes::from(format!("order-{}", random()));
    let mut batches = if batch { Some(Batches::open(&mut client).await?) } else { None };
    let mut latencies = Vec::new();
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(latencies);
        }
        match &mut batches {
            Some(batches) => {
                batches.send(stream.clone(), 1).await?;
                batches.answer().await?;
            }
            None => append(&mut client, stream.clone()).await?,
        }
        latencies.push(began.elapsed());
    }
}

async fn append(client: &mut StreamsClient<Channel>, stream: Bytes) -> Result<(), Failure> {
    let options = Content::Options(append_req::Options {
        stream_identifier: Some(StreamIdentifier { stream_name: stream }),
        expected_stream_revision: Some(ExpectedStreamRevision::Any(Empty {})),
    });
    let event = Content::ProposedMessage(append_req::ProposedMessage {
        id: Some(random_id()),
        metadata: metadata(),
        custom_metadata: Bytes::new(),
        data: body(),
    });
    let requests = [options, event].map(|content| AppendReq { content: Some(content) });
    match client.append(tokio_stream::iter(requests)).await?.into_inner().result {
        Some(append_resp::Result::Success(_)) => Ok(()),
        other => Err(format!("an append was answered with {other:?}").into()),
    }
}

/// An open call of `BatchAppend`.
struct Batches {
    requests: mpsc::Sender<BatchAppendReq>,
    answers: Streaming<BatchAppendResp>,
}

impl Batches {
    async fn open(client: &mut StreamsClient<Channel>) -> Result<Self, Failure> {
        let (requests, sent) = mpsc::channel(1);
        let answers = client.batch_append(ReceiverStream::new(sent)).await?.into_inner();
        Ok(Self { requests, answers })
    }

    async fn send(&self, stream: Bytes, events: u64) -> Result<(), Failure> {
        let event = || ProposedMessage {
            id: Some(random_id()),
            metadata: metadata(),
            custom_metadata: Bytes::new(),
            data: body(),
        };
        let request = BatchAppendReq {
            correlation_id: Some(random_id()),
            options: Some(batch_append_req::Options {
                stream_identifier: Some(StreamIdentifier { stream_name: stream }),
                expected_stream_position: Some(ExpectedStreamPosition::Any(())),
                deadline_option: None,
            }),
            proposed_messages: (0..events).map(|_| event()).collect(),
            is_final: true,
        };
        Ok(self.requests.send(request).await?)
    }

    async fn answer(&mut self) -> Result<(), Failure> {
        match self.answers.message().await?.and_then(|answer| answer.result) {
            Some(batch_append_resp::Result::Success(_)) => Ok(()),
            other => Err(format!("a batch was answered with {other:?}").into()),
        }
    }
}

/// So many events in batches, of which `name` says the stream by their number.
async fn fill(address: &str, events: u64, name: impl Fn(u64) -> String) -> Result<(), Failure> {
    let mut batches = Batches::open(&mut connect(address).await?).await?;
    for number in 0..events.div_ceil(FILLED) {
        batches.send(name(number).into(), FILLED.min(events - number * FILLED)).await?;
        if number >= UNDER_WAY {
            batches.answer().await?;
        }
    }
    for _ in 0..UNDER_WAY.min(events.div_ceil(FILLED)) {
        batches.answer().await?;
    }
    Ok(())
}

/// One event after the other, with time in between for what waits for them.
async fn paced(address: &str, stream: &str, events: usize, pause: Duration) -> Result<(), Failure> {
    let mut client = connect(address).await?;
    let stream = Bytes::from(stream.to_owned());
    let mut times = Vec::with_capacity(events);
    for _ in 0..events {
        tokio::time::sleep(pause).await;
        times.push(SystemTime::now());
        append(&mut client, stream.clone()).await?;
    }
    for time in times {
        println!("{}", time.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos());
    }
    Ok(())
}

fn metadata() -> BTreeMap<String, String> {
    [("type", "Benched"), ("content-type", "application/json")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A JSON body of 100 B.
fn body() -> Bytes {
    Bytes::from_static(
        b"{\"order\":4711,\"customer\":\"c-81\",\"total\":99.5,\"paid\":true,\"note\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
    )
}

fn random() -> Uuid {
    Uuid::from_u128(fastrand::u128(..))
}

fn random_id() -> WireUuid {
    let (most, least) = random().as_u64_pair();
    WireUuid {
        value: Some(Value::Structured(Structured {
            most_significant_bits: most as i64,
            least_significant_bits: least as i64,
        })),
    }
}
