//! Appends to a table of SQLite in WAL mode, synced at every commit: what an application would write for itself.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection, params};
use uuid::Uuid;

use crate::BODY;
use crate::run::{Failure, Latencies, Ran};

/// The least that is an event store: the order of all events, and the revisions of each stream.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        revision INTEGER NOT NULL,
        id BLOB NOT NULL,
        type TEXT NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (stream, revision)
    )";
/// Gives the log its length beforehand: one that grows is synced more slowly.
const LENGTHEN: &str = "
    CREATE TABLE filling (bytes BLOB);
    INSERT INTO filling VALUES (zeroblob(5000000));
    DROP TABLE filling;
    PRAGMA wal_checkpoint(RESTART);";
const INSERT: &str = "INSERT INTO events (stream, revision, id, type, data) VALUES (?1, ?2, ?3, ?4, ?5)";

/// How soon a connection that found another one writing tries again.
const AGAIN: Duration = Duration::from_micros(200);

/// How 64 clients share the one writer that SQLite has at a time.
#[derive(Clone, Copy)]
enum Way {
    /// A connection for each, which tries again while another writes.
    Own,
    /// A thread that writes for all of them, an append a transaction.
    One,
    /// The same with a transaction for all that wait.
    Grouped,
}

pub fn append(file: &Path, clients: usize, way: &str, time: Duration) -> Result<Ran, Failure> {
    let way = match way {
        "own" => Way::Own,
        "one" => Way::One,
        "grouped" => Way::Grouped,
        other => return Err(format!("own, one or grouped, not {other:?}").into()),
    };
    // The mode stays with the file, and the table is there before anybody is timed.
    let first = open(file)?;
    first.execute_batch(TABLE)?;
    first.execute_batch(LENGTHEN)?;
    let mut latencies = Latencies::default();
    let (began, writers): (_, Vec<JoinHandle<Result<Latencies, Failure>>>) = match way {
        Way::Own => {
            let connections: Vec<_> = (0..clients).map(|_| open(file)).collect::<Result<_, _>>()?;
            let began = Instant::now();
            let clients = connections.into_iter().map(|connection| {
                thread::spawn(move || {
                    each(began + time, |stream, revision| insert(&connection, stream, revision))
                })
            });
            (began, clients.collect())
        }
        Way::One | Way::Grouped => {
            let (asks, asked) = mpsc::channel();
            let writer = thread::spawn(move || write(&first, &asked, way));
            let began = Instant::now();
            let clients: Vec<_> = (0..clients)
                .map(|_| {
                    let asks = asks.clone();
                    thread::spawn(move || {
                        let (answers, answered) = mpsc::channel();
                        each(began + time, |stream, revision| {
                            asks.send(Ask { stream: stream.to_owned(), revision, done: answers.clone() })?;
                            Ok(answered.recv()?)
                        })
                    })
                })
                .collect();
            drop(asks);
            for client in clients {
                latencies.extend(client.join().map_err(|_| "a client panicked")??);
            }
            (began, vec![writer])
        }
    };
    for writer in writers {
        latencies.extend(writer.join().map_err(|_| "a writer panicked")??);
    }
    Ok(Ran { wall: began.elapsed(), latencies })
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(file)?;
    // SQLite's own handler sleeps for up to 100 ms between its tries, while 64 wait for 0.2 ms each.
    connection.busy_handler(Some(|_tries| {
        thread::sleep(AGAIN);
        true
    }))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// One client: an append after the other to a stream of its own.
fn each(
    until: Instant,
    mut append: impl FnMut(&str, i64) -> Result<(), Failure>,
) -> Result<Latencies, Failure> {
    let (stream, mut latencies) = (format!("order-{}", Uuid::new_v4()), Latencies::default());
    for revision in 0.. {
        let began = Instant::now();
        if began >= until {
            break;
        }
        append(&stream, revision)?;
        latencies.add(began);
    }
    Ok(latencies)
}

struct Ask {
    stream: String,
    revision: i64,
    done: Sender<()>,
}

/// Writes what is asked for until nobody asks.
fn write(connection: &Connection, asked: &Receiver<Ask>, way: Way) -> Result<Latencies, Failure> {
    while let Ok(ask) = asked.recv() {
        if matches!(way, Way::One) {
            insert(connection, &ask.stream, ask.revision)?;
            ask.done.send(())?;
            continue;
        }
        let asks: Vec<Ask> = std::iter::once(ask).chain(asked.try_iter()).collect();
        let transaction = connection.unchecked_transaction()?;
        for ask in &asks {
            insert(connection, &ask.stream, ask.revision)?;
        }
        transaction.commit()?;
        for ask in asks {
            ask.done.send(())?;
        }
    }
    Ok(Latencies::default())
}

fn insert(connection: &Connection, stream: &str, revision: i64) -> Result<(), Failure> {
    let mut statement: CachedStatement<'_> = connection.prepare_cached(INSERT)?;
    let id = Uuid::new_v4();
    statement.execute(params![
        stream,
        revision,
        id.as_bytes().as_slice(),
        "Benched",
        [b'x'; BODY].as_slice()
    ])?;
    Ok(())
}
