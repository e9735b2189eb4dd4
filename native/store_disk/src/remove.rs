//! Removing a store with all its events. It is gone as soon as its marker has another name: whoever opens the folder after
//! that removes what is left of it, and makes a new one.

use std::io;
use std::sync::Arc;

use crate::error::{OpenError, unusable};
use crate::files::Folder;
use crate::marker::{MARKER, MARKER_GONE};
use crate::segment::number_in;
use crate::shared::Shared;
use crate::synced::SYNCED;

/// What can remove a store that is open. Its journal is closed before, and nothing is read any more.
#[derive(Clone)]
pub struct Remover(pub(crate) Arc<Shared>);

impl Remover {
    /// Removes the store, wholly or not at all, and leaves an empty folder.
    ///
    /// # Errors
    /// When the file system refuses, or the store is not in the folder any more.
    pub fn remove(&self) -> Result<(), OpenError> {
        let failed = |error: io::Error| unusable(MARKER, &error);
        if !self.0.marker.is_linked().map_err(failed)? {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "it was removed by somebody else")));
        }
        let folder = self.0.folder.as_ref();
        folder.rename(MARKER, MARKER_GONE).and_then(|()| folder.sync()).map_err(failed)?;
        remove_rest(folder)
    }
}

/// Removes what is left of a store that is gone.
///
/// # Errors
/// When the file system refuses.
pub fn remove_rest(folder: &dyn Folder) -> Result<(), OpenError> {
    let of_folder = |error: io::Error| unusable("the folder", &error);
    for name in folder.names().map_err(of_folder)?.iter().filter(|name| is_part(name)) {
        folder.remove(name).map_err(|error| unusable(name, &error))?;
    }
    folder.sync().map_err(of_folder)?;
    // It goes last: as long as it is there, this can be done again.
    folder.remove(MARKER_GONE).and_then(|()| folder.sync()).map_err(|error| unusable(MARKER_GONE, &error))
}

fn is_part(name: &str) -> bool {
    name == SYNCED
        || [".log", ".idx", ".log.new", ".idx.new"].iter().any(|end| number_in(name, end).is_some())
}
