//! A disk that forgets: what was not synced is lost in a power cut, in parts and in any order.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use store_disk::{File, Folder};

const PAGE: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// From this operation on nothing works: the process is gone, or the power.
    Gone,
    /// This operation, if it writes, and some after it find no space.
    Full(u64),
    /// This operation, if it syncs, fails.
    Sync,
}

/// The disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

struct State {
    /// Files by number.
    files: BTreeMap<u64, Contents>,
    names: BTreeMap<String, u64>,
    /// Names as they were synced, and after each change since.
    history: Vec<BTreeMap<String, u64>>,
    next: u64,
    operations: u64,
    trouble: Option<(u64, Trouble)>,
    struck: bool,
    random: fastrand::Rng,
    /// Counts up when the process that has files open is gone, so that its locks are.
    life: u64,
    locks: HashMap<u64, u64>,
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Pages written since, each time as they were then, and lengths.
    pages: Vec<(usize, Vec<u8>)>,
    lengths: Vec<usize>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            history: vec![BTreeMap::new()],
            next: 0,
            operations: 0,
            trouble: None,
            struck: false,
            random: fastrand::Rng::with_seed(seed),
            life: 0,
            locks: HashMap::new(),
        })))
    }

    /// Something goes wrong so many operations from now.
    pub fn plan(&self, after: u64, trouble: Trouble) {
        let mut state = self.0.lock().unwrap();
        state.trouble = Some((state.operations + after, trouble));
    }

    /// Whether what was planned has come about.
    pub fn struck(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.struck
    }

    /// Does something without the trouble that is planned.
    pub fn calmly<T>(&self, work: impl FnOnce() -> T) -> T {
        let (before, trouble) = {
            let mut state = self.0.lock().unwrap();
            (state.operations, state.trouble.take())
        };
        let done = work();
        let mut state = self.0.lock().unwrap();
        let passed = state.operations - before;
        state.trouble = trouble.map(|(at, trouble)| (at + passed, trouble));
        done
    }

    /// The process ends; what it wrote is still there.
    pub fn kill(&self) {
        let mut state = self.0.lock().unwrap();
        (state.trouble, state.struck) = (None, false);
        state.life += 1;
        state.locks.clear();
    }

    /// The power is cut: of what was not synced, any part may be gone.
    pub fn cut_power(&self) {
        self.kill();
        let mut state = self.0.lock().unwrap();
        let State { files, names, history, random, .. } = &mut *state;
        *names = history[random.usize(..history.len())].clone();
        *history = vec![names.clone()];
        for file in files.values_mut() {
            file.lose(random);
        }
    }

    fn operation(&self, writes: bool, syncs: bool) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        let now = state.operations;
        let fails = match state.trouble {
            Some((at, Trouble::Gone)) => now > at,
            Some((at, Trouble::Full(count))) => now > at && now <= at + count && writes,
            Some((at, Trouble::Sync)) => now > at && syncs,
            None => false,
        };
        state.struck |= fails;
        match (fails, state.trouble) {
            (false, _) => Ok(state),
            (true, Some((_, Trouble::Full(_)))) => Err(io::ErrorKind::StorageFull.into()),
            (true, Some((_, Trouble::Sync))) => {
                state.trouble = None;
                Err(io::Error::other("the disk is broken"))
            }
            (true, _) => Err(io::Error::other("gone")),
        }
    }
}

impl Contents {
    fn lose(&mut self, random: &mut fastrand::Rng) {
        let mut lengths = vec![self.synced.len()];
        lengths.extend(&self.lengths);
        let length = lengths[random.usize(..lengths.len())];
        let mut kept = std::mem::take(&mut self.synced);
        kept.resize(length, 0);
        let mut versions: BTreeMap<usize, Vec<&Vec<u8>>> = BTreeMap::new();
        for (page, bytes) in &self.pages {
            versions.entry(*page).or_default().push(bytes);
        }
        let mode = random.u8(..3);
        for (page, versions) in versions {
            let chosen = match mode {
                0 => random.usize(..=versions.len()),
                1 => versions.len(),
                _ => 0,
            };
            let Some(bytes) = chosen.checked_sub(1).map(|index| versions[index]) else { continue };
            for (index, byte) in bytes.iter().enumerate() {
                if let Some(place) = kept.get_mut(page * PAGE + index) {
                    *place = *byte;
                }
            }
        }
        *self = Self { now: kept.clone(), synced: kept, ..Self::default() };
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        if self.now.len() < offset + bytes.len() {
            self.now.resize(offset + bytes.len(), 0);
            self.lengths.push(self.now.len());
        }
        self.now[offset..offset + bytes.len()].copy_from_slice(bytes);
        for page in offset / PAGE..(offset + bytes.len()).div_ceil(PAGE) {
            let end = ((page + 1) * PAGE).min(self.now.len());
            self.pages.push((page, self.now[page * PAGE..end].to_vec()));
        }
    }
}

impl State {
    fn renamed(&mut self) {
        let names = self.names.clone();
        self.history.push(names);
    }
}

impl Folder for Disk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.operation(false, false)?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, _writable: bool) -> io::Result<Arc<dyn File>> {
        let state = self.operation(false, false)?;
        let number = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Open { disk: self.clone(), number, life: state.life }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.operation(true, false)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.next;
        state.next += 1;
        state.files.insert(number, Contents::default());
        state.names.insert(name.to_owned(), number);
        state.renamed();
        Ok(Arc::new(Open { disk: self.clone(), number, life: state.life }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation(false, false)?;
        let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), number);
        state.renamed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operation(false, false)?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.renamed();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.operation(false, true)?;
        state.history = vec![state.names.clone()];
        Ok(())
    }
}

struct Open {
    disk: Disk,
    number: u64,
    life: u64,
}

impl Open {
    fn with<T>(
        &self,
        writes: bool,
        syncs: bool,
        change: impl FnOnce(&mut Contents, &mut fastrand::Rng) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.disk.operation(writes, syncs)?;
        let State { files, random, .. } = &mut *state;
        change(files.get_mut(&self.number).unwrap(), random)
    }
}

impl File for Open {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(false, false, |file, random| {
            let rest = file.now.get(offset as usize..).unwrap_or_default();
            let mut length = rest.len().min(bytes.len());
            if length > 1 && random.u8(..20) == 0 {
                length = random.usize(1..length);
            }
            bytes[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn read_now_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.with(true, false, |file, _| {
            file.write(bytes, offset as usize);
            Ok(())
        });
        if written.is_err() {
            // It failed half-way.
            let mut state = self.disk.0.lock().unwrap();
            let State { files, random, .. } = &mut *state;
            let part = random.usize(..=bytes.len());
            files.get_mut(&self.number).unwrap().write(&bytes[..part], offset as usize);
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.with(false, true, |file, _| {
            *file = Contents { now: file.now.clone(), synced: file.now.clone(), ..Contents::default() };
            Ok(())
        });
        if synced.is_err() {
            // What was to be written is forgotten, and yet read: the next sync will not write it.
            let mut state = self.disk.0.lock().unwrap();
            let State { files, random, .. } = &mut *state;
            let file = files.get_mut(&self.number).unwrap();
            if random.bool() {
                (file.pages, file.lengths) = (Vec::new(), Vec::new());
            }
        }
        synced
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(false, false, |file, _| {
            file.now.resize(length as usize, 0);
            file.lengths.push(length as usize);
            // What comes back behind it later are zeros.
            file.pages.retain(|(page, _)| page * PAGE < length as usize);
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.with(false, false, |file, _| Ok(file.now.len() as u64))
    }

    fn is_linked(&self) -> io::Result<bool> {
        let state = self.disk.operation(false, false)?;
        Ok(state.names.values().any(|number| *number == self.number))
    }

    fn lock(&self) -> io::Result<bool> {
        let mut state = self.disk.operation(false, false)?;
        let life = self.life;
        // Within one life a lock is taken again by the same process in these tests.
        Ok(*state.locks.entry(self.number).or_insert(life) == life)
    }
}
