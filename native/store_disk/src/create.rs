//! Making a store. Until its marker has its name there is none, and what is there can be removed.

use std::io;
use std::sync::Arc;

use crate::error::{OpenError, unusable};
use crate::files::{File, Folder, write_zeros};
use crate::marker::{MARKER, MARKER_NEW, render};
use crate::segment::{FIRST, HEAD, Head, log_name};
use crate::synced::{End, SYNCED, Synced, SyncedFile};

/// What the first segment has room for at first.
const ROOM: u64 = 64 * 1024;

/// Makes a store in an empty folder. The marker, locked.
///
/// # Errors
/// When the file system refuses; then nothing is left behind.
pub fn create(folder: &dyn Folder, id: u128, position: u64) -> Result<Arc<dyn File>, OpenError> {
    let marker = match folder.create(MARKER_NEW) {
        Ok(marker) => marker,
        // Somebody else was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(OpenError::InUse),
        Err(error) => return Err(unusable(MARKER_NEW, &error)),
    };
    match marker.lock() {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::InUse),
        Err(error) => return Err(unusable(MARKER_NEW, &error)),
    }
    match fill(folder, marker.as_ref(), id, position) {
        Ok(()) => Ok(marker),
        Err((name, error)) => {
            take_back(folder);
            Err(unusable(&name, &error))
        }
    }
}

/// Removes what was made, in an order in which the folder is at no time taken for a store that has lost something.
fn take_back(folder: &dyn Folder) {
    // What was not made can neither be renamed nor removed.
    if folder.rename(MARKER, MARKER_NEW).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
        return;
    }
    for name in [&log_name(FIRST), SYNCED, MARKER_NEW] {
        let _ = folder.remove(name);
    }
}

fn fill(folder: &dyn Folder, marker: &dyn File, id: u128, position: u64) -> Result<(), (String, io::Error)> {
    let of = |name: &str| {
        let name = name.to_owned();
        move |error| (name, error)
    };
    marker
        .write_all_at(render(id).as_bytes(), 0)
        .and_then(|()| marker.sync())
        .and_then(|()| folder.sync())
        .map_err(of(MARKER))?;
    let number = FIRST;
    let (former_length, former_chain) = (0, 0);
    let head = Head { number, id, position, frame: 0, streams: 0, former_length, former_chain };
    let name = log_name(number);
    let made = folder.create(&name).and_then(|file| {
        file.write_all_at(&head.encode(), 0)?;
        write_zeros(file.as_ref(), HEAD, ROOM)?;
        file.sync()
    });
    made.map_err(of(&name))?;
    let start = End { segment: number, offset: HEAD };
    let says = Synced { acknowledged: start, durable: start };
    SyncedFile::create(folder, id, says).map_err(of(SYNCED))?;
    folder.sync().map_err(of("the folder"))?;
    folder.rename(MARKER_NEW, MARKER).and_then(|()| folder.sync()).map_err(of(MARKER))
}

/// Removes a store whose making was cut short: it never held an event.
///
/// # Errors
/// When the file system refuses.
pub fn remove_half_made(folder: &dyn Folder, names: &[String]) -> Result<(), OpenError> {
    // The unfinished marker goes last: as long as it is there, this can be done again.
    for name in names.iter().filter(|name| *name != MARKER_NEW) {
        folder.remove(name).map_err(|error| unusable(name, &error))?;
    }
    folder.sync().map_err(|error| unusable("the folder", &error))?;
    folder.remove(MARKER_NEW).map_err(|error| unusable(MARKER_NEW, &error))
}
