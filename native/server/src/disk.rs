//! Storage in a folder, by fjall.
//!
//! An append is one batch of the engine's journal, handed to the operating system before it is acknowledged: a
//! process that is killed loses nothing, and half a batch is never seen again.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | events | stream, revision | the record: its head, then its bytes |
//! | log | position | stream, revision |
//! | ids | stream, id | the first revision with that id |
//! | streams | number | last revision, whether tombstoned, name |
//! | about | `format`, `head` | the version of this table; the position after the last event |
//!
//! The engine takes a journal that is damaged anywhere for one whose end was torn, and drops what follows. So the
//! file `acknowledged` says how far the log went: a journal that ends before that has lost events.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use store_core::{Direction, PageSize, Record, Storage, StorageError, Store, StreamNumber, StreamRow, Write};

use crate::disk_form::{
    decode_place, decode_record, decode_row, encode_place, encode_record, encode_row, event_key, id_key,
    number,
};
use crate::server::StartError;

/// The version of the table above.
const FORMAT: u64 = 1;
/// What the storage engine makes before the file that marks a whole store.
const STORE_FILES: [&str; 3] = ["lock", "0.jnl", "keyspaces"];
const MARKER: &str = "version";
/// Says how far the log went, in eight bytes.
const ACKNOWLEDGED: &str = "acknowledged";

struct Disk {
    database: Database,
    events: Keyspace,
    log: Keyspace,
    ids: Keyspace,
    streams: Keyspace,
    about: Keyspace,
    acknowledged: File,
}

/// Opens the store in a folder, or makes one there.
pub fn open(folder: &Path, seed: u128) -> Result<Store, StartError> {
    prepare(folder)?;
    let disk = Disk::open(folder).map_err(|error| start_error(folder, &error))?;
    let corrupted = |error: String| StartError::DataCorrupted { folder: folder.to_owned(), error };
    disk.check_acknowledged().and_then(|()| disk.check_format()).map_err(|error| corrupted(error.0))?;
    Store::open(Box::new(disk), seed).map_err(|fault| corrupted(fault.to_string()))
}

/// Makes the folder, and sees that nothing else is in it.
fn prepare(folder: &Path) -> Result<(), StartError> {
    let unusable =
        |error: io::Error| StartError::DataUnusable { folder: folder.to_owned(), error: error.to_string() };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unusable)? {
        names.push(entry.map_err(unusable)?.file_name());
    }
    if names.is_empty() || names.iter().any(|name| name == MARKER) {
        return Ok(());
    }
    if names.iter().any(|name| !STORE_FILES.iter().any(|known| name == known)) {
        return Err(StartError::DataCorrupted {
            folder: folder.to_owned(),
            error: "it holds files, but no event store".to_owned(),
        });
    }
    remove_half_made(folder).map_err(unusable)
}

/// A store whose making was cut short has nothing in it, and cannot be opened.
fn remove_half_made(folder: &Path) -> io::Result<()> {
    let ignore_missing = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    if let Ok(lock) = File::open(folder.join("lock"))
        && lock.try_lock().is_err()
    {
        return Ok(());
    }
    ignore_missing(std::fs::remove_dir_all(folder.join("keyspaces")))?;
    ignore_missing(std::fs::remove_file(folder.join("0.jnl")))?;
    ignore_missing(std::fs::remove_file(folder.join("lock")))
}

fn start_error(folder: &Path, error: &fjall::Error) -> StartError {
    let folder = folder.to_owned();
    match error {
        fjall::Error::Locked => StartError::DataInUse { folder },
        fjall::Error::Io(error) => StartError::DataUnusable { folder, error: error.to_string() },
        error => StartError::DataCorrupted { folder, error: error.to_string() },
    }
}

fn failed(error: fjall::Error) -> StorageError {
    StorageError(format!("the data folder cannot be read or written: {error}"))
}

fn malformed(what: &str) -> StorageError {
    StorageError(format!("a {what} in the data folder is malformed"))
}

impl Disk {
    fn open(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder).open()?;
        let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default);
        let (events, log, ids) = (keyspace("events")?, keyspace("log")?, keyspace("ids")?);
        let (streams, about) = (keyspace("streams")?, keyspace("about")?);
        let mut options = File::options();
        let acknowledged =
            options.create(true).truncate(false).read(true).write(true).open(folder.join(ACKNOWLEDGED))?;
        Ok(Self { database, events, log, ids, streams, about, acknowledged })
    }

    fn check_acknowledged(&self) -> Result<(), StorageError> {
        let mut bytes = [0; 8];
        match self.acknowledged.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read.map_err(|error| StorageError(format!("{ACKNOWLEDGED} cannot be read: {error}")))?,
        }
        let (acknowledged, head) = (u64::from_be_bytes(bytes), self.about("head")?.unwrap_or_default());
        if acknowledged <= head {
            return Ok(());
        }
        Err(StorageError(format!(
            "its journal ends at position {head}, but events up to {acknowledged} were acknowledged; \
             to go on without them, remove its file {ACKNOWLEDGED:?}"
        )))
    }

    fn check_format(&self) -> Result<(), StorageError> {
        match self.about("format")? {
            Some(FORMAT) => Ok(()),
            Some(other) => {
                Err(StorageError(format!("format {other} is not {FORMAT}, which this server writes")))
            }
            None if self.events.is_empty().map_err(failed)? => {
                let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
                batch.insert(&self.about, "format", FORMAT.to_be_bytes());
                batch.commit().map_err(failed)
            }
            None => Err(malformed("format")),
        }
    }

    fn about(&self, key: &str) -> Result<Option<u64>, StorageError> {
        match self.about.get(key).map_err(failed)? {
            Some(value) => number(&value).map(Some).ok_or_else(|| malformed("number")),
            None => Ok(None),
        }
    }
}

impl Storage for Disk {
    fn write(&mut self, change: Write) -> Result<(), StorageError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        let mut ids = Vec::with_capacity(change.records.len());
        for record in &change.records {
            batch.insert(&self.events, event_key(record.stream, record.revision), encode_record(record));
            batch.insert(
                &self.log,
                record.position.to_be_bytes(),
                encode_place(record.stream, record.revision),
            );
            let key = id_key(record.stream, record.id);
            // The first revision of an id is kept, here and over earlier appends.
            if !ids.contains(&key) && (record.revision == 0 || !self.ids.contains_key(key).map_err(failed)?) {
                batch.insert(&self.ids, key, record.revision.to_be_bytes());
                ids.push(key);
            }
        }
        for row in &change.streams {
            batch.insert(&self.streams, row.number.to_be_bytes(), encode_row(row));
        }
        batch.insert(&self.about, "head", change.head.to_be_bytes());
        batch.commit().map_err(failed)?;
        let written = self.acknowledged.write_all_at(&change.head.to_be_bytes(), 0);
        written.map_err(|error| StorageError(format!("{ACKNOWLEDGED} cannot be written: {error}")))
    }

    fn streams(&self) -> Result<(Vec<StreamRow>, u64), StorageError> {
        let mut rows = Vec::new();
        for entry in self.streams.iter() {
            let (key, value) = entry.into_inner().map_err(failed)?;
            rows.push(decode_row(&key, &value).ok_or_else(|| malformed("stream"))?);
        }
        Ok((rows, self.about("head")?.unwrap_or_default()))
    }

    fn event(&self, stream: StreamNumber, revision: u64) -> Result<Option<Record>, StorageError> {
        match self.events.get(event_key(stream, revision)).map_err(failed)? {
            Some(value) => {
                decode_record(stream, revision, value).map(Some).ok_or_else(|| malformed("record"))
            }
            None => Ok(None),
        }
    }

    fn stream_page(
        &self,
        stream: StreamNumber,
        from: u64,
        direction: Direction,
        size: PageSize,
    ) -> Result<Vec<Record>, StorageError> {
        let read = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner().map_err(failed)?;
            let (_, revision) = decode_place(&key).ok_or_else(|| malformed("key"))?;
            decode_record(stream, revision, value).ok_or_else(|| malformed("record"))
        };
        match direction {
            Direction::Forwards => {
                let all = self.events.range(event_key(stream, from)..=event_key(stream, u64::MAX));
                size.try_take(all.map(read))
            }
            Direction::Backwards => {
                let all = self.events.range(event_key(stream, 0)..=event_key(stream, from));
                size.try_take(all.rev().map(read))
            }
        }
    }

    fn log_page(&self, from: u64, direction: Direction, size: PageSize) -> Result<Vec<Record>, StorageError> {
        let read = |entry: fjall::Guard| {
            let place = entry.value().map_err(failed)?;
            let (stream, revision) = decode_place(&place).ok_or_else(|| malformed("place"))?;
            self.event(stream, revision)?.ok_or_else(|| malformed("place without its event"))
        };
        match direction {
            Direction::Forwards => size.try_take(self.log.range(from.to_be_bytes()..).map(read)),
            Direction::Backwards => size.try_take(self.log.range(..from.to_be_bytes()).rev().map(read)),
        }
    }

    fn revision_of(&self, stream: StreamNumber, id: u128) -> Result<Option<u64>, StorageError> {
        match self.ids.get(id_key(stream, id)).map_err(failed)? {
            Some(value) => number(&value).map(Some).ok_or_else(|| malformed("revision")),
            None => Ok(None),
        }
    }
}
