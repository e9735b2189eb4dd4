//! Putting a folder in order that was found whole, before anything is served from it.

use std::io;
use std::sync::Arc;

use crate::error::{OpenError, unusable};
use crate::files::{File, Folder, read_exact};
use crate::marker::FORMAT;
use crate::options::{Fsync, Options};
use crate::sealed::write_index;
use crate::segment::log_name;
use crate::shared::Shared;
use crate::survey::{Found, FoundIndex, FoundSealed};
use crate::synced::{End, SYNCED, Synced, SyncedFile};

/// The folder in order: the files that are written to, and how long the last segment's file is.
pub struct Settled {
    pub file: Arc<dyn File>,
    pub synced: SyncedFile,
    pub durable: End,
    pub length: u64,
}

/// Puts it in order.
///
/// # Errors
/// When the file system refuses; what was done by then has taken nothing away that counts.
pub fn settle(shared: &Shared, found: &Found, options: &Options) -> Result<Settled, OpenError> {
    let folder = shared.folder.as_ref();
    // Whoever had the folder open before may have ended between giving a file its name and syncing that.
    folder.sync().map_err(|error| unusable("the folder", &error))?;
    for name in &found.leftovers {
        tracing::info!(file = %name, "an unfinished file is removed");
        folder.remove(name).map_err(|error| unusable(name, &error))?;
    }
    for sealed in &found.sealed {
        settle_sealed(shared, sealed)?;
    }
    let name = log_name(found.head.number);
    let failed = |error: io::Error| unusable(&name, &error);
    let file = folder.open(&name, true).map_err(failed)?;
    let mut length = found.length;
    if found.torn {
        tracing::warn!(file = %name, byte = found.active.end, "the torn end of the log, never acknowledged, is cut off");
        file.set_len(found.active.end).map_err(failed)?;
        file.sync().map_err(failed)?;
        length = found.active.end;
    }
    let end = End { segment: found.head.number, offset: found.active.end };
    let mut durable = found.synced.durable;
    if options.fsync == Fsync::Group && durable < end {
        make_durable(folder, found, durable, file.as_ref())?;
        durable = end;
    }
    let mut synced = SyncedFile::open(folder, shared.id).map_err(|error| unusable(SYNCED, &error))?;
    let said = synced.write(Synced { acknowledged: end, durable }).and_then(|()| synced.sync());
    said.map_err(|error| unusable(SYNCED, &error))?;
    Ok(Settled { file, synced, durable, length })
}

fn settle_sealed(shared: &Shared, sealed: &FoundSealed) -> Result<(), OpenError> {
    let FoundSealed { head, seal, index, long } = sealed;
    let name = log_name(head.number);
    if *long && let Ok(file) = shared.folder.open(&name, true) {
        // Zeros behind the end take room, and nothing else.
        let _ = file.set_len(seal.end);
    }
    let FoundIndex::Made(made) = index else { return Ok(()) };
    tracing::warn!(segment = %name, format = FORMAT, "its index was missing or damaged, and is made again from it");
    let of = crate::index_file::Of {
        id: shared.id,
        number: head.number,
        end: seal.end,
        chain: seal.chain,
        position: seal.position,
    };
    match write_index(shared, &of, made) {
        Ok(_) => {}
        // It is in memory as well.
        Err(error) => tracing::warn!(segment = %name, %error, "an index was not written"),
    }
    Ok(())
}

/// What the system has may not be what the disk has. What a failed fsync has thrown away can only be in the segment that
/// is written to: that is written once more. A segment has an index when it is synced.
fn make_durable(folder: &dyn Folder, found: &Found, from: End, last: &dyn File) -> Result<(), OpenError> {
    let unsure = |sealed: &&FoundSealed| {
        sealed.head.number >= from.segment && matches!(sealed.index, FoundIndex::Made(_))
    };
    for sealed in found.sealed.iter().filter(unsure) {
        let name = log_name(sealed.head.number);
        let synced = folder.open(&name, true).and_then(|file| file.sync());
        synced.map_err(|error| unusable(&name, &error))?;
    }
    let start = if from.segment == found.head.number { from.offset } else { 0 };
    let rewritten = rewrite(last, start, found.active.end);
    rewritten.map_err(|error| unusable(&log_name(found.head.number), &error))
}

fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < to {
        let mut bytes = vec![0; (to - offset).min(1024 * 1024) as usize];
        read_exact(file, &mut bytes, offset)?;
        file.write_all_at(&bytes, offset)?;
        offset += bytes.len() as u64;
    }
    file.sync()
}
