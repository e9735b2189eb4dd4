//! Segments that are not written to any more, and where their events are.

use std::sync::{Arc, PoisonError, RwLock};

use store_core::{StorageError, StreamNumber};

use crate::bloom::hash;
use crate::error::describe;
use crate::form::Reader;
use crate::index::{Block, Index};
use crate::index_file::{self, Directory, ID, OFFSET, Of, PAGE};
use crate::segment::{Head, index_name, log_name, unfinished};
use crate::shared::{Part, Seal, Shared};

/// Where to look for the events of a segment.
#[derive(Clone)]
pub enum Lookup {
    /// In memory, until the index is written.
    Memory(Arc<Index>),
    /// In a file.
    File(Arc<Directory>),
}

/// A sealed segment.
pub struct Sealed {
    pub head: Head,
    pub seal: Seal,
    lookup: RwLock<Lookup>,
}

impl Sealed {
    pub fn new(head: Head, seal: Seal, lookup: Lookup) -> Self {
        Self { head, seal, lookup: RwLock::new(lookup) }
    }

    pub fn lookup(&self) -> Lookup {
        self.lookup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the index, and looks there from now on. When that fails the index stays in memory, and is made again
    /// when the store is opened next.
    pub fn write_index(&self, shared: &Shared, index: &Index) {
        let of = self.of(shared.id);
        let log = shared.folder.open(&log_name(self.head.number), true);
        // Where there is an index the log is kept, whatever the options say of single batches.
        let synced =
            log.as_ref().map_err(|error| std::io::Error::from(error.kind())).and_then(|log| log.sync());
        match synced.and_then(|()| write_index(shared, &of, index)) {
            Ok(directory) => {
                let lookup = Lookup::File(Arc::new(directory));
                *self.lookup.write().unwrap_or_else(PoisonError::into_inner) = lookup;
            }
            Err(error) => {
                let file = index_name(self.head.number);
                tracing::warn!(error = describe(&file, &error), "an index was not written");
            }
        }
        // Zeros behind the end take room, and nothing else.
        if let Ok(log) = log {
            let _ = log.set_len(self.seal.end);
        }
    }

    pub fn of(&self, id: u128) -> Of {
        let Seal { end, chain, position } = self.seal;
        Of { id, number: self.head.number, end, chain, position }
    }
}

/// Writes an index to its file.
pub fn write_index(shared: &Shared, of: &Of, index: &Index) -> std::io::Result<Directory> {
    let (name, folder) = (index_name(of.number), &shared.folder);
    let new = unfinished(&name);
    // One that was left behind is worth nothing.
    let _ = folder.remove(&new);
    let file = folder.create(&new)?;
    let written = file.write_all_at(&index_file::encode(index, of), 0).and_then(|()| file.sync());
    let read = written.and_then(|()| index_file::read(file.as_ref(), of));
    match read {
        Ok(Some((directory, _))) => {
            folder.rename(&new, &name)?;
            folder.sync()?;
            Ok(directory)
        }
        other => {
            let _ = folder.remove(&new);
            other.and(Err(std::io::Error::other("what was written cannot be read")))
        }
    }
}

impl Lookup {
    /// Places from which the log can be read.
    pub fn blocks(&self) -> &[Block] {
        match self {
            Self::Memory(index) => &index.blocks,
            Self::File(directory) => &directory.blocks,
        }
    }

    /// Where events of a stream are: `count` from the `from`-th on, whose places begin at `place`.
    pub fn offsets(
        &self,
        shared: &Shared,
        number: u32,
        (stream, place): (StreamNumber, u32),
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, StorageError> {
        match self {
            Self::Memory(index) => {
                let offsets = index.streams.get(&stream).map(|run| run.offsets.as_slice());
                Ok(offsets.and_then(|offsets| offsets.get(from..from + count)).unwrap_or_default().to_vec())
            }
            Self::File(directory) => {
                let at = (u64::from(place) + from as u64) * OFFSET;
                let bytes = pages(shared, number, directory, at, count as u64 * OFFSET)?;
                let mut reader = Reader(&bytes);
                Ok(std::iter::from_fn(|| reader.u32()).collect())
            }
        }
    }

    /// Where the first event of an id may be, in the order of the log.
    pub fn candidates(
        &self,
        shared: &Shared,
        number: u32,
        stream: StreamNumber,
        id: u128,
    ) -> Result<Vec<u32>, StorageError> {
        match self {
            Self::Memory(index) => Ok(index.ids.get(&(stream, id)).copied().into_iter().collect()),
            Self::File(directory) => {
                let wanted = hash(stream, id);
                if !directory.bloom.may_have(wanted) {
                    return Ok(Vec::new());
                }
                with_hash(shared, number, directory, wanted)
            }
        }
    }
}

/// The offsets of all ids with a hash, which lie one after another.
fn with_hash(
    shared: &Shared,
    number: u32,
    directory: &Directory,
    wanted: u64,
) -> Result<Vec<u32>, StorageError> {
    let entry = |index: u64| -> Result<(u64, u32), StorageError> {
        let bytes = pages(shared, number, directory, directory.ids_at + index * ID, ID)?;
        let mut reader = Reader(&bytes);
        reader.u64().zip(reader.u32()).ok_or_else(|| damaged(number))
    };
    let (mut low, mut high) = (0, u64::from(directory.ids));
    while low < high {
        let middle = low + (high - low) / 2;
        if entry(middle)?.0 < wanted { low = middle + 1 } else { high = middle }
    }
    let mut found = Vec::new();
    while low < u64::from(directory.ids) {
        let (hash, offset) = entry(low)?;
        if hash != wanted {
            break;
        }
        found.push(offset);
        low += 1;
    }
    Ok(found)
}

/// Bytes among the pages of an index, which are looked at as a whole.
fn pages(
    shared: &Shared,
    number: u32,
    directory: &Directory,
    at: u64,
    length: u64,
) -> Result<Vec<u8>, StorageError> {
    let first = at / PAGE * PAGE;
    let last = (at + length).next_multiple_of(PAGE).min(directory.length);
    let mut bytes = vec![0; last.saturating_sub(first) as usize];
    shared.read(Part::Index(number), &mut bytes, directory.pages_at + first)?;
    if !directory.checks(&bytes, first) {
        return Err(damaged(number));
    }
    let from = (at - first) as usize;
    bytes.get(from..from + length as usize).map(<[u8]>::to_vec).ok_or_else(|| damaged(number))
}

fn damaged(number: u32) -> StorageError {
    StorageError::Failed(format!(
        "{}: the index is damaged; it is made again from the log when the server is started again",
        index_name(number)
    ))
}
