//! What reading and writing share: the folder, its lock, and files that are open.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use store_core::{Awaited, StorageError};

use crate::error::describe;
use crate::files::{File, Folder, read_exact};
use crate::segment::{index_name, log_name};
use crate::wait;

/// Files that are open at once for reading.
const OPEN: usize = 128;

/// How a sealed segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Where.
    pub end: u64,
    /// With which checksum.
    pub chain: u32,
    /// The position after it.
    pub position: u64,
}

/// A file that is read: the log's segment of a number, or its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Log(u32),
    Index(u32),
}

impl Part {
    /// The file's name.
    pub fn name(self) -> String {
        match self {
            Self::Log(number) => log_name(number),
            Self::Index(number) => index_name(number),
        }
    }

    fn key(self) -> u64 {
        match self {
            Self::Log(number) => u64::from(number) << 1,
            Self::Index(number) => u64::from(number) << 1 | 1,
        }
    }

    fn of_key(key: u64) -> Self {
        let number = (key >> 1) as u32;
        if key & 1 == 0 { Self::Log(number) } else { Self::Index(number) }
    }
}

/// What is shared.
pub struct Shared {
    pub folder: Arc<dyn Folder>,
    pub id: u128,
    /// Locked as long as anything of the store is there.
    pub marker: Arc<dyn File>,
    open: Mutex<Vec<(Part, Arc<dyn File>)>>,
    /// Of segments that were sealed since the store was opened.
    pub seals: Mutex<HashMap<u32, Seal>>,
}

impl Shared {
    pub fn new(folder: Arc<dyn Folder>, id: u128, marker: Arc<dyn File>) -> Self {
        Self { folder, id, marker, open: Mutex::default(), seals: Mutex::default() }
    }

    fn file(&self, part: Part) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = open.iter().rposition(|(other, _)| *other == part) {
            // Those that were used last are at the end.
            let found = open.remove(index);
            let file = found.1.clone();
            open.push(found);
            return Ok(file);
        }
        let file = self.folder.open(&part.name(), false)?;
        if open.len() >= OPEN {
            open.remove(0);
        }
        open.push((part, file.clone()));
        Ok(file)
    }

    /// Fills `bytes` from an offset of a file on.
    pub fn read(&self, part: Part, bytes: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let failed = |error: io::Error| StorageError::Failed(describe(&part.name(), &error));
        let file = self.file(part).map_err(failed)?;
        if wait::allowed() {
            return read_exact(file.as_ref(), bytes, offset).map_err(failed);
        }
        match file.read_now_at(bytes, offset) {
            Ok(read) if read == bytes.len() => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
            _ => Err(StorageError::NotNow(Awaited { file: part.key(), offset, bytes: bytes.len() })),
        }
    }
}

/// Brings into memory what a read would have had to wait for.
#[derive(Clone)]
pub struct Fetcher(pub(crate) Arc<Shared>);

/// How much more is brought along.
const AHEAD: usize = 256 * 1024;

impl Fetcher {
    /// Waits for it. What goes wrong is found by the read that comes next.
    pub fn fetch(&self, awaited: Awaited) {
        let mut bytes = vec![0; awaited.bytes + AHEAD];
        if let Ok(file) = self.0.file(Part::of_key(awaited.file)) {
            let _ = file.read_at(&mut bytes, awaited.offset);
        }
    }
}
