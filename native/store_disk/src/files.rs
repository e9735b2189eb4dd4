//! What the store asks of a file system.

use std::io;
use std::sync::Arc;

/// A folder.
pub trait Folder: Send + Sync {
    /// The names of what is in it.
    ///
    /// # Errors
    /// What the system says.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there, to read it and, if so asked, to write to it.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>>;

    /// Makes a file that is not there.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in place of any that has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when the names are kept.
    ///
    /// # Errors
    /// What the system says; which names are kept is unknown then.
    fn sync(&self) -> io::Result<()>;
}

/// A file of a folder.
pub trait File: Send + Sync {
    /// Reads what is there from an offset on, at most as much as fits.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads as [`File::read_at`] does, but only what is in memory.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it would have to be waited for.
    fn read_now_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at an offset.
    ///
    /// # Errors
    /// What the system says; part of it may be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when what was written, and the length, are kept.
    ///
    /// # Errors
    /// What the system says; what is kept is unknown then.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// How long it is.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Whether it still has a name.
    ///
    /// # Errors
    /// What the system says.
    fn is_linked(&self) -> io::Result<bool>;

    /// Locks it against other processes until it is dropped; whether nobody else has.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self) -> io::Result<bool>;
}

/// Fills `bytes` from an offset on.
pub fn read_exact(file: &dyn File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}

/// A whole file, which is known to be small.
pub fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut bytes = vec![0; length];
    read_exact(file, &mut bytes, 0)?;
    Ok(bytes)
}

/// How much is looked at, or written, at once.
const CHUNK: u64 = 1024 * 1024;

/// The offset of the first byte that is not zero, from an offset on.
pub fn first_non_zero(file: &dyn File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let (mut bytes, mut offset) = (Vec::new(), from);
    while offset < to {
        bytes.resize((to - offset).min(CHUNK) as usize, 0);
        read_exact(file, &mut bytes, offset)?;
        if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
            return Ok(Some(offset + index as u64));
        }
        offset += bytes.len() as u64;
    }
    Ok(None)
}

/// Writes zeros.
pub fn write_zeros(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; to.saturating_sub(from).min(CHUNK) as usize];
    let mut offset = from;
    while offset < to {
        let part = zeros.get(..(to - offset).min(CHUNK) as usize).unwrap_or(&zeros);
        file.write_all_at(part, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}
