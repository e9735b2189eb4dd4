//! How far the log is known to go: two slots, written in turn, so that one of them is always whole.

use std::io;
use std::sync::Arc;

use crate::files::{File, Folder, read_all};
use crate::form::{Put as _, open_page, sealed_page};

/// Its name.
pub const SYNCED: &str = "synced";

const MAGIC: &[u8] = b"PSTKSYNC";
const SLOT: usize = 64;
/// Slots are on pages of their own.
const APART: u64 = 4096;
/// The file has this length from when it is made, before there is a store, so a kill or a power cut never leaves another.
const LENGTH: usize = 2 * APART as usize;

/// A place in the log: behind everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The number of a segment.
    pub segment: u32,
    /// An offset in it.
    pub offset: u64,
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What was acknowledged ends here; a log that ends earlier has lost something.
    pub acknowledged: End,
    /// What the disk has for certain ends here.
    pub durable: End,
}

/// The file.
pub struct SyncedFile {
    file: Arc<dyn File>,
    id: u128,
    turn: u64,
    dirty: bool,
}

impl SyncedFile {
    /// Makes it.
    pub fn create(folder: &dyn Folder, id: u128, says: Synced) -> io::Result<()> {
        let file = folder.create(SYNCED)?;
        file.write_all_at(&vec![0; LENGTH], 0)?;
        let mut file = Self { file, id, turn: 0, dirty: false };
        file.write(says)?;
        file.write(says)?;
        file.sync()
    }

    /// What it says, or what is wrong with it.
    pub fn read(folder: &dyn Folder, id: u128) -> io::Result<Result<Synced, String>> {
        let file = folder.open(SYNCED, false)?;
        let length = file.length()?;
        if length != LENGTH as u64 {
            return Ok(Err(format!("it has {length} bytes, and is made with {LENGTH}")));
        }
        let bytes = read_all(file.as_ref())?;
        if let Some(at) = between(&bytes) {
            return Ok(Err(format!("there is something at byte {at}, where nothing is written")));
        }
        // a slot that is not whole may be one that was being written
        Ok(newest(&bytes, id).map(|(_, says)| says).ok_or_else(|| "the file is damaged".to_owned()))
    }

    /// Opens it to go on writing.
    pub fn open(folder: &dyn Folder, id: u128) -> io::Result<Self> {
        let file = folder.open(SYNCED, true)?;
        let turn = newest(&read_all(file.as_ref())?, id).map_or(0, |(turn, _)| turn + 1);
        Ok(Self { file, id, turn, dirty: false })
    }

    /// Writes the next slot; it is not kept at once.
    pub fn write(&mut self, says: Synced) -> io::Result<()> {
        let mut slot = Vec::with_capacity(SLOT);
        slot.put(MAGIC);
        slot.put_u128(self.id);
        slot.put_u64(self.turn);
        for end in [says.acknowledged, says.durable] {
            slot.put_u32(end.segment);
            slot.put_u64(end.offset);
        }
        self.file.write_all_at(&sealed_page(slot, SLOT), self.turn % 2 * APART)?;
        self.turn += 1;
        self.dirty = true;
        Ok(())
    }

    /// Returns when what was written is kept.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync()?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// The first byte outside of the slots that is not zero.
fn between(bytes: &[u8]) -> Option<usize> {
    bytes.iter().enumerate().position(|(at, byte)| at % APART as usize >= SLOT && *byte != 0)
}

fn newest(bytes: &[u8], id: u128) -> Option<(u64, Synced)> {
    let slots = [0, APART as usize].map(|at| slot(bytes.get(at..at + SLOT)?, id));
    slots.into_iter().flatten().max_by_key(|(turn, _)| *turn)
}

fn slot(bytes: &[u8], id: u128) -> Option<(u64, Synced)> {
    let mut reader = open_page(bytes)?;
    reader.expect(MAGIC)?;
    if reader.u128()? != id {
        return None;
    }
    let turn = reader.u64()?;
    let mut end = || Some(End { segment: reader.u32()?, offset: reader.u64()? });
    Some((turn, Synced { acknowledged: end()?, durable: end()? }))
}
