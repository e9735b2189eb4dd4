//! Opening a store in a folder.

use std::path::Path;
use std::sync::Arc;

use store_core::{Store, StreamNumber};

use crate::create::{create, remove_half_made};
use crate::error::{OpenError, damaged, unusable};
use crate::files::Folder;
use crate::helper::Helper;
use crate::journal::{Journal, Room};
use crate::log::{Active, Chain, Log, Run};
use crate::options::Options;
use crate::os::OsFolder;
use crate::remove::{Remover, remove_rest};
use crate::sealed::{Lookup, Sealed};
use crate::segment::log_name;
use crate::settle::settle;
use crate::shared::{Fetcher, Shared};
use crate::survey::{Found, FoundIndex, Survey, survey};

/// A store that is open, as long as either part of it is there.
pub struct Opened {
    /// What is read.
    pub store: Store,
    /// What is written.
    pub journal: Journal,
    /// What brings into memory what a reader does not wait for.
    pub fetcher: Fetcher,
    /// What removes it.
    pub remover: Remover,
}

/// The position at which a log begins: that of `store_core`.
const FIRST_POSITION: u64 = store_core::FIRST_POSITION;

/// Opens the store in the folder at a path, or makes one there. `seed` is a number that nobody had before.
///
/// # Errors
/// What [`OpenError`] lists.
pub fn open(path: &Path, seed: u128, options: Options) -> Result<Opened, OpenError> {
    make_folder(path).map_err(|error| unusable("the folder", &error))?;
    open_in(Arc::new(OsFolder::new(path)), seed, options)
}

/// Makes the folder unless it is there; its name is kept, too.
fn make_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Opens the store in a folder.
///
/// # Errors
/// What [`OpenError`] lists.
pub fn open_in(folder: Arc<dyn Folder>, seed: u128, options: Options) -> Result<Opened, OpenError> {
    let made = match survey(folder.as_ref())? {
        Survey::Store(found) => return open_found(folder, *found, seed, options),
        Survey::HalfMade(names) => {
            remove_half_made(folder.as_ref(), &names)?;
            create(folder.as_ref(), seed, FIRST_POSITION)?
        }
        Survey::HalfRemoved => {
            remove_rest(folder.as_ref())?;
            create(folder.as_ref(), seed, FIRST_POSITION)?
        }
        Survey::New => create(folder.as_ref(), seed, FIRST_POSITION)?,
    };
    // It is opened as any other; between the two nobody minds who has the lock.
    drop(made);
    match survey(folder.as_ref())? {
        Survey::Store(found) => open_found(folder, *found, seed, options),
        _ => Err(damaged("the folder", "the event store just made is not there")),
    }
}

fn open_found(
    folder: Arc<dyn Folder>,
    mut found: Found,
    seed: u128,
    options: Options,
) -> Result<Opened, OpenError> {
    let shared = Arc::new(Shared::new(folder, found.id, found.marker.clone()));
    let mut streams = Vec::new();
    for (place, sealed) in (0..).zip(&found.sealed) {
        adopt(&mut streams, place, &sealed.index).ok_or_else(|| {
            damaged(&log_name(sealed.head.number), "its index does not follow from those before")
        })?;
    }
    let active = &found.active.index;
    adopt_active(&mut streams, active)
        .ok_or_else(|| damaged(&log_name(found.head.number), "it does not follow from the segment before"))?;
    let helper = match options.helper {
        true => Helper::thread().map_err(|error| unusable("a thread", &error))?,
        false => Helper::none(),
    };
    let helper = Arc::new(helper);
    let sealed = found.sealed.iter().map(|sealed| {
        let lookup = match &sealed.index {
            FoundIndex::Whole(directory, _) => Lookup::File(directory.clone()),
            FoundIndex::Made(index) => Lookup::Memory(index.clone()),
        };
        Arc::new(Sealed::new(sealed.head, sealed.seal, lookup))
    });
    let log = Log {
        shared: shared.clone(),
        helper: helper.clone(),
        streams,
        sealed: sealed.collect(),
        active: Active {
            head: found.head,
            index: std::mem::take(&mut found.active.index),
            end: found.active.end,
        },
        position: found.active.position,
    };
    // The last thing that may be damaged is read before the first thing is changed.
    let store = Store::open(Box::new(log), seed).map_err(|fault| OpenError::Damaged(fault.to_string()))?;
    let settled = settle(&shared, &found, &options)?;
    let scanned = &found.active;
    let journal = Journal {
        shared: shared.clone(),
        helper,
        options,
        file: settled.file,
        head: found.head,
        synced: settled.synced,
        end: scanned.end,
        durable: settled.durable,
        frame: scanned.frame,
        chain: scanned.chain,
        position: scanned.position,
        streams: scanned.streams,
        room: Room::up_to(settled.length),
        looked: None,
        broken: None,
        failing: false,
    };
    Ok(Opened { store, journal, fetcher: Fetcher(shared.clone()), remover: Remover(shared) })
}

/// Takes over what a sealed segment's index says of streams; nothing if that does not go on where they were.
fn adopt(streams: &mut Vec<Chain>, place: u32, index: &FoundIndex) -> Option<()> {
    match index {
        FoundIndex::Whole(_, contents) => {
            for (number, name) in &contents.names {
                add_name(streams, *number, name)?;
            }
            for run in &contents.runs {
                let stored = Run { sealed: place, place: run.place, first: run.first };
                add_run(streams, run.stream, stored, u64::from(run.count))?;
            }
            bury(streams, &contents.tombstones)
        }
        FoundIndex::Made(index) => {
            for (number, name) in &index.names {
                add_name(streams, *number, name)?;
            }
            for (stream, start, run) in index.in_order() {
                let stored = Run { sealed: place, place: start, first: run.first };
                add_run(streams, stream, stored, run.offsets.len() as u64)?;
            }
            bury(streams, &index.tombstones)
        }
    }
}

fn adopt_active(streams: &mut Vec<Chain>, index: &crate::index::Index) -> Option<()> {
    for (number, name) in &index.names {
        add_name(streams, *number, name)?;
    }
    for (stream, run) in &index.streams {
        let chain = streams.get_mut(*stream as usize)?;
        extend(chain, run.first, run.offsets.len() as u64)?;
    }
    bury(streams, &index.tombstones)
}

fn add_name(streams: &mut Vec<Chain>, number: StreamNumber, name: &Arc<str>) -> Option<()> {
    if number as usize != streams.len() {
        return None;
    }
    streams.push(Chain::new(name.clone()));
    Some(())
}

fn add_run(streams: &mut [Chain], stream: StreamNumber, run: Run, count: u64) -> Option<()> {
    let chain = streams.get_mut(stream as usize)?;
    extend(chain, run.first, count)?;
    chain.runs.push(run);
    Some(())
}

fn extend(chain: &mut Chain, first: u64, count: u64) -> Option<()> {
    if first != chain.last.map_or(0, |last| last + 1) {
        return None;
    }
    chain.last = Some((first + count).checked_sub(1)?);
    Some(())
}

fn bury(streams: &mut [Chain], tombstones: &[StreamNumber]) -> Option<()> {
    for stream in tombstones {
        streams.get_mut(*stream as usize)?.tombstoned = true;
    }
    Some(())
}
