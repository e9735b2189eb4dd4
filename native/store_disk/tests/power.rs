//! The store on a disk that forgets what was not synced, fills up, and breaks.
//!
//! A run is its seed: `PENSTOCK_SEED=17 cargo test -p store_disk --test power` repeats one, `PENSTOCK_SEEDS=100000`
//! runs more of them, `PENSTOCK_FIRST_SEED` other ones.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use store_core::{Fault, StorageError};
use store_disk::{Fsync, Options, open_in};
use support::disk::{Disk, Trouble};
use support::{Ask, OnDisk, SEED, replayed, seeds, whole};

struct Run {
    disk: Disk,
    random: fastrand::Rng,
    options: Options,
    /// What was acknowledged, in order.
    kept: Vec<Ask>,
    /// Whether the store may have been removed since.
    removing: bool,
}

impl Run {
    fn new(seed: u64, fsync: Fsync) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let segment = random.u64(2_000..20_000);
        let options = Options { fsync, segment, helper: false };
        Self { disk: Disk::new(random.u64(..)), random, options, kept: Vec::new(), removing: false }
    }

    /// Opens the store, which must have all that was acknowledged, and of `pending` a first part.
    fn open(&mut self, pending: &[Ask]) -> Option<OnDisk> {
        let opened = match open_in(Arc::new(self.disk.clone()), SEED, self.options) {
            Ok(opened) => OnDisk::new(opened),
            Err(error) if self.disk.struck() => {
                self.disk.kill();
                assert!(!error.to_string().is_empty());
                return None;
            }
            Err(error) => panic!("a store that was only cut off is refused: {error}"),
        };
        let found = self.disk.calmly(|| opened.look(whole));
        if std::mem::take(&mut self.removing) && found == whole(&replayed(&[])) {
            self.kept.clear();
            return Some(opened);
        }
        for taken in 0..=pending.len() {
            let mut all = self.kept.clone();
            all.extend_from_slice(&pending[..taken]);
            if found == whole(&replayed(&all)) {
                self.kept = all;
                return Some(opened);
            }
        }
        let wanted = whole(&replayed(&self.kept));
        let first = found.iter().zip(&wanted).position(|(one, other)| one != other).unwrap_or_default();
        panic!(
            "{} answers, {} wanted, after {} requests and {} more; first\n{:?}\nis not\n{:?}",
            found.len(),
            wanted.len(),
            self.kept.len(),
            pending.len(),
            found.get(first),
            wanted.get(first)
        );
    }

    /// Commits batches until something goes wrong for good, or a while has passed; the batch of which nobody knows.
    fn write(&mut self, mut store: OnDisk) -> Vec<Ask> {
        for _ in 0..self.random.usize(1..15) {
            let batch: Vec<_> = (0..self.random.usize(1..5)).map(|_| Ask::random(&mut self.random)).collect();
            let answers = store.commit(&batch);
            assert_eq!(answers.len(), batch.len());
            match answers.iter().find_map(|answer| match answer {
                Err(Fault::Storage(error)) => Some(error.clone()),
                _ => None,
            }) {
                None => self.kept.extend(batch),
                Some(StorageError::Full(text)) => {
                    assert!(text.starts_with("disk full"), "{text}");
                    let found = self.disk.calmly(|| store.look(whole));
                    assert!(found == whole(&replayed(&self.kept)), "nothing of it is readable");
                }
                Some(_) => return batch,
            }
            if self.random.u8(..6) == 0 {
                let _ = store.journal.rest();
            }
        }
        if self.random.bool() {
            let _ = store.journal.close();
            if self.random.u8(..3) == 0 {
                match store.remover.remove() {
                    Ok(()) => self.kept.clear(),
                    Err(_) => self.removing = true,
                }
            }
        }
        Vec::new()
    }
}

fn run(seed: u64, fsync: Fsync, power: bool) {
    let mut run = Run::new(seed, fsync);
    let mut pending = Vec::new();
    for _ in 0..run.random.usize(2..6) {
        let after = run.random.u64(1..60);
        match run.random.u8(..8) {
            0..=3 => run.disk.plan(after, Trouble::Gone),
            4 => run.disk.plan(after, Trouble::Full(run.random.u64(1..8))),
            5 => run.disk.plan(after, Trouble::Sync),
            _ => {}
        }
        if let Some(store) = run.open(&pending) {
            pending = run.write(store);
        }
        match power && run.random.bool() {
            true => run.disk.cut_power(),
            false => run.disk.kill(),
        }
    }
    assert!(run.open(&pending).is_some());
}

fn run_all(usual: u64, fsync: Fsync, power: bool) {
    for seed in seeds(usual) {
        let result = std::panic::catch_unwind(|| run(seed, fsync, power));
        assert!(result.is_ok(), "with PENSTOCK_SEED={seed}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_power_cuts_full_disks_and_failing_syncs() {
    run_all(400, Fsync::Group, true);
}

#[test]
fn without_syncs_nothing_acknowledged_is_lost_to_kills() {
    run_all(200, Fsync::Never, false);
}
