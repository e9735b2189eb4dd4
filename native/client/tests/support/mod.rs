//! A server, a way to it that can be cut, and somewhere for events to go.

#![allow(clippy::expect_used, clippy::panic)]
#![allow(dead_code, unused_imports, reason = "every test takes what it needs")]

mod answerer;
pub mod cluster;
pub mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use client::{
    Appended, Batch, Connection, Counts, Expectation, MAX_MESSAGE_SIZE, NewEvent, OnBeyond, PATIENCE, Report,
    Settings, Sink, Subscription, Time, WriteError, run,
};
use reader_core::{Backoff, Beyond, LogPosition, Place, Position, Start, State, Target};
use server::{Options, Server, Storage};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use wire::connection_string::ConnectionString;
use wire::error::Error;
use wire::recorded::{Head, position_of};

pub use answerer::*;

pub async fn server() -> Server {
    server_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
}

pub async fn server_at(address: SocketAddr) -> Server {
    Server::start(Options::new(address, Storage::Memory)).await.expect("a free port")
}

pub fn connection(address: SocketAddr) -> Connection {
    connection_with(address, "")
}

/// With more keys of a connection string: `&key=value`.
pub fn connection_with(address: SocketAddr, keys: &str) -> Connection {
    let settings =
        ConnectionString::parse(&format!("esdb://{address}?tls=false{keys}")).expect("a good string");
    let settings = Settings::of(&settings).expect("nothing that is not supported");
    Connection::new(settings).expect("an address")
}

pub async fn fill(connection: &Connection, stream: &str, count: usize) {
    let events = (0..count).map(|_| event(b"{\"a\":1}")).collect();
    append(connection, stream, events).await.expect("appended");
}

pub async fn append(
    connection: &Connection,
    stream: &str,
    events: Vec<NewEvent>,
) -> Result<Appended, WriteError> {
    let stream = Bytes::copy_from_slice(stream.as_bytes());
    client::append(connection, stream, Expectation::Any, events, Time::OfConnection).await
}

pub fn event(data: &'static [u8]) -> NewEvent {
    NewEvent {
        id: uuid::Uuid::from_u128(fastrand::u128(1..)),
        event_type: "T".into(),
        content_type: "application/json".into(),
        data: Bytes::from_static(data),
        custom_metadata: Bytes::new(),
    }
}

/// What a sink was given, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Given {
    Event(u64),
    /// An event of the log.
    Place(Place),
    State(State),
    Located(Option<u64>),
    Taken(Option<u64>),
    /// In the log.
    TakenAfter(Option<Position>),
    Checkpoint(Position),
    Beyond(Option<Beyond>),
    Dropped,
    Stopped(&'static str),
}

/// Passes everything on, and has room for as many batches as it is told.
pub struct Outlet {
    on_log: bool,
    given: mpsc::UnboundedSender<Given>,
    pub rooms: Semaphore,
    pub counts: watch::Sender<Counts>,
    pub errors: Mutex<Vec<Error>>,
}

impl Sink for Outlet {
    fn put(&self, batch: Batch) {
        for event in batch.events {
            let Ok(Head::Event(place)) = position_of(&event) else { panic!("not an event") };
            let given = if self.on_log {
                let log = LogPosition { commit: place.commit, prepare: place.prepare };
                Given::Place(Place { revision: place.revision, log })
            } else {
                Given::Event(place.revision)
            };
            self.given.send(given).ok();
        }
    }

    fn report(&self, report: Report) {
        let given = match report {
            Report::Connecting => return,
            Report::Located(end) => Given::Located(end.and_then(Position::revision)),
            Report::Taken { after, .. } if self.on_log => Given::TakenAfter(after),
            Report::Taken { after, .. } => Given::Taken(after.and_then(Position::revision)),
            Report::Checkpoint(_, position) => Given::Checkpoint(position),
            Report::State(_, state) => Given::State(state),
            Report::Beyond(beyond) => Given::Beyond(beyond),
            Report::Dropped { cause, .. } => {
                self.errors.lock().expect("no panic").push(cause);
                Given::Dropped
            }
            Report::Stopped(error) => {
                let reason = error.reason();
                self.errors.lock().expect("no panic").push(error);
                Given::Stopped(reason)
            }
        };
        self.given.send(given).ok();
    }

    fn count(&self, counts: Counts) {
        self.counts.send_replace(counts);
    }

    async fn room(&self) {
        self.rooms.acquire().await.expect("never closed").forget();
    }
}

/// A running subscription and what it gives.
pub struct Running {
    pub given: mpsc::UnboundedReceiver<Given>,
    pub outlet: Arc<Outlet>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn subscribe(connection: &Connection, stream: &str, from: Start) -> Running {
    subscribe_with_room(connection, stream, from, Semaphore::MAX_PERMITS)
}

pub fn subscribe_with_room(connection: &Connection, stream: &str, from: Start, rooms: usize) -> Running {
    subscribe_to(connection, wanted(stream, from), rooms)
}

pub fn wanted(stream: &str, from: Start) -> Subscription {
    Subscription {
        target: Target::Stream { name: Bytes::copy_from_slice(stream.as_bytes()), from },
        resolve_links: true,
        max_message_size: MAX_MESSAGE_SIZE,
        on_beyond: OnBeyond::Wait,
        backoff: Backoff { first: std::time::Duration::from_millis(5), ..Backoff::default() },
        patience: PATIENCE,
    }
}

pub fn subscribe_to(connection: &Connection, wanted: Subscription, rooms: usize) -> Running {
    let (sender, given) = mpsc::unbounded_channel();
    let outlet = Arc::new(Outlet {
        on_log: matches!(wanted.target, Target::All { .. }),
        given: sender,
        rooms: Semaphore::new(rooms),
        counts: watch::Sender::new(Counts::default()),
        errors: Mutex::default(),
    });
    let task = tokio::spawn(run(connection.clone(), wanted, outlet.clone()));
    Running { given, outlet, task }
}

impl Running {
    pub async fn next(&mut self) -> Given {
        self.given.recv().await.expect("a running subscription")
    }

    /// Events up to and with this revision, whatever is reported between them.
    pub async fn events_until(&mut self, last: u64) -> Vec<u64> {
        let mut events = Vec::new();
        while events.last() != Some(&last) {
            if let Given::Event(revision) = self.next().await {
                events.push(revision);
            }
        }
        events
    }

    pub async fn until(&mut self, wanted: Given) {
        while self.next().await != wanted {}
    }

    /// The last error that was reported.
    pub fn error(&self) -> Error {
        self.outlet.errors.lock().expect("no panic").last().expect("an error").clone()
    }
}

/// A way to a server that can be cut as often as one likes.
pub struct Road {
    pub address: SocketAddr,
    cut: watch::Sender<()>,
}

impl Road {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let cut = watch::Sender::new(());
        let cuts = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    /// Ends every connection that goes through.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}
