//! Looking at a folder without changing anything in it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use store_core::StreamNumber;

use crate::error::{OpenError, damaged, unusable};
use crate::files::{File, Folder, first_non_zero, read_all};
use crate::index::Index;
use crate::index_file::{self, Contents, Directory};
use crate::marker::{self, MARKER, MARKER_GONE, MARKER_NEW};
use crate::scan::{Scanned, later_batch, scan};
use crate::segment::{FIRST, Head, index_name, log_name, number_in};
use crate::shared::Seal;
use crate::synced::{End, SYNCED, Synced, SyncedFile};

/// What is put there by the systems that make folders, and left alone.
const IGNORED: [&str; 1] = ["lost+found"];

/// What a folder is.
pub enum Survey {
    /// Empty.
    New,
    /// A store whose making was cut short: the files that it has.
    HalfMade(Vec<String>),
    /// What is left of a store that was being removed.
    HalfRemoved,
    /// A store.
    Store(Box<Found>),
}

/// A store that is whole.
pub struct Found {
    pub id: u128,
    /// Locked.
    pub marker: Arc<dyn File>,
    pub sealed: Vec<FoundSealed>,
    pub head: Head,
    pub active: Scanned,
    pub synced: Synced,
    /// Files that were not finished, or are not needed.
    pub leftovers: Vec<String>,
    /// Whether the last segment has something behind its end that is not zeros.
    pub torn: bool,
    /// How long the file of the last segment is.
    pub length: u64,
}

/// A sealed segment.
pub struct FoundSealed {
    pub head: Head,
    pub seal: Seal,
    pub index: FoundIndex,
    /// Whether its file is longer than it.
    pub long: bool,
}

/// Its index.
pub enum FoundIndex {
    Whole(Arc<Directory>, Contents),
    /// It was missing or damaged, and made from the log.
    Made(Arc<Index>),
}

impl FoundIndex {
    fn new_streams(&self) -> StreamNumber {
        let names = match self {
            Self::Whole(_, contents) => contents.names.len(),
            Self::Made(index) => index.names.len(),
        };
        names as StreamNumber
    }
}

/// The files of a store by kind.
#[derive(Default)]
struct Files {
    logs: BTreeSet<u32>,
    indexes: BTreeSet<u32>,
    leftovers: Vec<String>,
}

/// Looks at a folder.
///
/// # Errors
/// When it is no store, or not whole, or in use.
pub fn survey(folder: &dyn Folder) -> Result<Survey, OpenError> {
    let names = listed(folder)?;
    if names.is_empty() {
        return Ok(Survey::New);
    }
    if !names.contains(MARKER) {
        return unmarked(folder, &names);
    }
    let marker = folder.open(MARKER, false).map_err(|error| unusable(MARKER, &error))?;
    if !marker.lock().map_err(|error| unusable(MARKER, &error))? {
        return Err(OpenError::InUse);
    }
    let id = read_all(marker.as_ref()).map_err(|error| unusable(MARKER, &error))?;
    let id = marker::parse(&id).map_err(|what| damaged(MARKER, what))?;
    // Whoever had the lock before may have changed what is there.
    let files = sort(&listed(folder)?)?;
    found(folder, id, marker, files).map(|found| Survey::Store(Box::new(found)))
}

fn listed(folder: &dyn Folder) -> Result<BTreeSet<String>, OpenError> {
    let names = folder.names().map_err(|error| unusable("the folder", &error))?;
    Ok(names.into_iter().filter(|name| !IGNORED.contains(&name.as_str())).collect())
}

/// A folder without the file that makes it a store.
fn unmarked(folder: &dyn Folder, names: &BTreeSet<String>) -> Result<Survey, OpenError> {
    if names.contains(MARKER_GONE) {
        let marker = folder.open(MARKER_GONE, false).map_err(|error| unusable(MARKER_GONE, &error))?;
        return match marker.lock() {
            Ok(true) => Ok(Survey::HalfRemoved),
            Ok(false) => Err(OpenError::InUse),
            Err(error) => Err(unusable(MARKER_GONE, &error)),
        };
    }
    let first = log_name(FIRST);
    if names.iter().all(|name| name == MARKER_NEW || *name == first || name == SYNCED)
        && names.contains(MARKER_NEW)
    {
        let marker = folder.open(MARKER_NEW, false).map_err(|error| unusable(MARKER_NEW, &error))?;
        if !marker.lock().map_err(|error| unusable(MARKER_NEW, &error))? {
            return Err(OpenError::InUse);
        }
        let text = read_all(marker.as_ref()).map_err(|error| unusable(MARKER_NEW, &error))?;
        // Its making may have been finished since.
        if listed(folder)?.contains(MARKER) {
            return Err(OpenError::InUse);
        }
        if marker::begins(&text) && !holds_events(folder, &first) {
            return Ok(Survey::HalfMade(names.iter().cloned().collect()));
        }
    }
    if names.iter().any(|name| number_in(name, ".log").is_some()) {
        return Err(damaged(MARKER, "the file is missing, without which this is no event store"));
    }
    if names.contains("keyspaces") && names.contains("version") {
        return Err(OpenError::Damaged(
            "it holds an event store in the form of an earlier build of this server, which this one cannot read. \
             Nothing was changed; read its events with that build, or begin with an empty folder"
                .to_owned(),
        ));
    }
    let one = names.first().map_or("", String::as_str);
    Err(OpenError::Damaged(format!(
        "it holds files, {one:?} for one, but no event store. Nothing was changed; choose an empty folder, or one that is not there yet"
    )))
}

/// Whether there is a frame in a segment, which no store has that is not whole yet.
fn holds_events(folder: &dyn Folder, name: &str) -> bool {
    let Ok(file) = folder.open(name, false) else { return false };
    match Head::read(file.as_ref()) {
        Ok(Some(head)) => scan(file.as_ref(), &head).map_or(true, |scanned| scanned.frame > head.frame),
        Ok(None) => false,
        Err(_) => true,
    }
}

fn sort(names: &BTreeSet<String>) -> Result<Files, OpenError> {
    let mut files = Files::default();
    for name in names.iter().filter(|name| *name != MARKER && *name != SYNCED) {
        if let Some(number) = number_in(name, ".log") {
            files.logs.insert(number);
        } else if let Some(number) = number_in(name, ".idx") {
            files.indexes.insert(number);
        } else if number_in(name, ".log.new").or_else(|| number_in(name, ".idx.new")).is_some() {
            files.leftovers.push(name.clone());
        } else {
            return Err(damaged(name, "this is no file of an event store; move it elsewhere if it is yours"));
        }
    }
    if !names.contains(SYNCED) {
        return Err(damaged(SYNCED, "the file is missing"));
    }
    Ok(files)
}

fn found(folder: &dyn Folder, id: u128, marker: Arc<dyn File>, files: Files) -> Result<Found, OpenError> {
    let synced = SyncedFile::read(folder, id).map_err(|error| unusable(SYNCED, &error))?;
    let synced = synced.map_err(|what| damaged(SYNCED, what))?;
    let last = files.logs.last().copied().unwrap_or(0).max(synced.acknowledged.segment);
    let mut heads = Vec::new();
    for number in FIRST..=last {
        heads.push(head(folder, id, number, &files)?);
    }
    if let Some(index) = files.indexes.iter().find(|index| **index >= last) {
        let name = log_name(last + 1);
        return Err(damaged(&name, format!("the file is missing, as there is {}", index_name(*index))));
    }
    let mut sealed = Vec::new();
    for (head, next) in heads.iter().zip(heads.iter().skip(1)) {
        let has_index = files.indexes.contains(&head.number);
        sealed.push(found_sealed(folder, head, next, has_index)?);
    }
    let head = heads.last().copied().ok_or_else(|| damaged(&log_name(FIRST), "the file is missing"))?;
    let (active, torn, length) = last_segment(folder, &head, synced)?;
    if last > synced.acknowledged.segment + 1 {
        return Err(damaged(SYNCED, "the file is older than the log"));
    }
    let leftovers = files.leftovers;
    Ok(Found { id, marker, sealed, head, active, synced, leftovers, torn, length })
}

fn head(folder: &dyn Folder, id: u128, number: u32, files: &Files) -> Result<Head, OpenError> {
    let name = log_name(number);
    if !files.logs.contains(&number) {
        return Err(damaged(&name, "the file is missing"));
    }
    let file = folder.open(&name, false).map_err(|error| unusable(&name, &error))?;
    let head = Head::read(file.as_ref()).map_err(|error| unusable(&name, &error))?;
    match head {
        None => Err(damaged(&name, "its head, bytes 0 to 127, is damaged")),
        Some(head) if head.id != id => Err(damaged(&name, "it belongs to another folder")),
        Some(head) if head.number != number => {
            Err(damaged(&name, format!("it is {} by another name", log_name(head.number))))
        }
        Some(head) => Ok(head),
    }
}

fn found_sealed(
    folder: &dyn Folder,
    head: &Head,
    next: &Head,
    has_index: bool,
) -> Result<FoundSealed, OpenError> {
    let name = log_name(head.number);
    let file = folder.open(&name, false).map_err(|error| unusable(&name, &error))?;
    let length = file.length().map_err(|error| unusable(&name, &error))?;
    let seal = Seal { end: next.former_length, chain: next.former_chain, position: next.position };
    if length < seal.end {
        return Err(damaged(&name, format!("it ends at byte {length}, and went to {}", seal.end)));
    }
    let beyond = first_non_zero(file.as_ref(), seal.end, length).map_err(|error| unusable(&name, &error))?;
    if let Some(at) = beyond {
        return Err(damaged(&name, format!("there is something at byte {at}, behind its end")));
    }
    let index = match has_index {
        true => whole_index(folder, head, &seal)?,
        false => None,
    };
    let index = match index {
        Some(index) => index,
        None => FoundIndex::Made(Arc::new(scan_sealed(file.as_ref(), head, &seal)?.index)),
    };
    if head.streams + index.new_streams() != next.streams {
        return Err(damaged(&name, "it does not have the streams that the next one says"));
    }
    Ok(FoundSealed { head: *head, seal, index, long: length > seal.end })
}

fn whole_index(folder: &dyn Folder, head: &Head, seal: &Seal) -> Result<Option<FoundIndex>, OpenError> {
    let name = index_name(head.number);
    let of = index_file::Of {
        id: head.id,
        number: head.number,
        end: seal.end,
        chain: seal.chain,
        position: seal.position,
    };
    let file = folder.open(&name, false).map_err(|error| unusable(&name, &error))?;
    let read = index_file::read(file.as_ref(), &of).map_err(|error| unusable(&name, &error))?;
    Ok(read.map(|(directory, contents)| FoundIndex::Whole(Arc::new(directory), contents)))
}

/// Reads a sealed segment, which must end as the next one says.
pub fn scan_sealed(file: &dyn File, head: &Head, seal: &Seal) -> Result<Scanned, OpenError> {
    let name = log_name(head.number);
    let scanned = scan(file, head).map_err(|error: io::Error| unusable(&name, &error))?;
    if let Some((at, what)) = &scanned.damage {
        return Err(damaged(&name, format!("at byte {at}: {what}")));
    }
    if (scanned.end, scanned.chain, scanned.position) != (seal.end, seal.chain, seal.position) {
        let what = format!(
            "the frame at byte {} is damaged (position {}), and the log goes to {}",
            scanned.end, scanned.position, seal.end
        );
        return Err(damaged(&name, what));
    }
    Ok(scanned)
}

/// The segment that is written to: where it ends, whether something torn follows, and how long the file is.
fn last_segment(folder: &dyn Folder, head: &Head, synced: Synced) -> Result<(Scanned, bool, u64), OpenError> {
    let name = log_name(head.number);
    let failed = |error: io::Error| unusable(&name, &error);
    let file = folder.open(&name, false).map_err(failed)?;
    let scanned = scan(file.as_ref(), head).map_err(failed)?;
    let (end, position) = (scanned.end, scanned.position);
    if let Some((at, what)) = &scanned.damage {
        return Err(damaged(&name, format!("at byte {at}: {what}")));
    }
    let known = synced.acknowledged;
    if known > (End { segment: head.number, offset: end }) {
        let what = format!(
            "the frame at byte {end} is damaged or missing (position {position}), and events up to byte {} were acknowledged",
            known.offset
        );
        return Err(damaged(&name, what));
    }
    if let Some(at) = later_batch(file.as_ref(), head, end).map_err(failed)? {
        let what = format!(
            "the frame at byte {end} is damaged (position {position}), and events that were acknowledged follow at byte {at}"
        );
        return Err(damaged(&name, what));
    }
    let length = file.length().map_err(failed)?;
    let torn = first_non_zero(file.as_ref(), end, length).map_err(failed)?.is_some();
    Ok((scanned, torn, length))
}
