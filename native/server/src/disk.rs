//! Storage in a folder: `store_disk`, as the server starts with it.

use std::path::PathBuf;

use store_disk::{OpenError, Opened, Options};

use crate::options::StartError;

/// Opens the store in a folder, or makes one there; `seed` is a number that nobody had before.
pub async fn open(folder: PathBuf, options: Options, seed: u128) -> Result<Opened, StartError> {
    let path = folder.clone();
    // A panic there is a failure to start, not the end of whoever starts.
    match tokio::task::spawn_blocking(move || store_disk::open(&path, seed, options)).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(OpenError::InUse)) => Err(StartError::DataInUse { folder }),
        Ok(Err(OpenError::Unusable(error))) => Err(StartError::DataUnusable { folder, error }),
        Ok(Err(OpenError::Damaged(error))) => Err(StartError::DataCorrupted { folder, error }),
        Err(error) => Err(StartError::DataCorrupted { folder, error: error.to_string() }),
    }
}
