//! The disk alone: what any store that waits for it pays at least.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::run::{Failure, Latencies, Ran};

/// What an event takes in a log, about.
const RECORD: usize = 300;
/// Written beforehand: a file that grows costs the file system a commit of its own.
const LENGTH: usize = 8 * 1024 * 1024;

pub fn append(file: &Path, time: Duration) -> Result<Ran, Failure> {
    let written = File::options().create(true).truncate(true).write(true).open(file)?;
    written.write_all_at(&vec![0; LENGTH], 0)?;
    written.sync_all()?;
    let (began, mut latencies, mut at) = (Instant::now(), Latencies::default(), 0);
    while began.elapsed() < time {
        let one = Instant::now();
        written.write_all_at(&[b'x'; RECORD], at)?;
        written.sync_data()?;
        latencies.add(one);
        at = (at + RECORD as u64) % (LENGTH - RECORD) as u64;
    }
    Ok(Ran { wall: began.elapsed(), latencies })
}
