//! Reading all there is in a folder, changing nothing.

use std::path::Path;

use crate::error::{OpenError, unusable};
use crate::files::Folder as _;
use crate::os::OsFolder;
use crate::scan::scan;
use crate::segment::{Head, index_name, log_name, number_in};
use crate::survey::{FoundIndex, Survey, scan_sealed, survey};

/// What was found, a line each.
#[derive(Debug)]
pub struct Finding {
    /// What is whole.
    pub whole: Vec<String>,
    /// What is damaged.
    pub damaged: Vec<String>,
}

/// Of a store that is not whole: how far each segment can be read.
fn read_what_is_there(folder: &OsFolder, finding: &mut Finding) -> Result<(), OpenError> {
    let mut names = folder.names().map_err(|error| unusable("the folder", &error))?;
    names.retain(|name| number_in(name, ".log").is_some());
    names.sort();
    for name in names {
        let Ok(file) = folder.open(&name, false) else { continue };
        let failed = |error: std::io::Error| unusable(&name, &error);
        let Some(head) = Head::read(file.as_ref()).map_err(failed)? else { continue };
        let scanned = scan(file.as_ref(), &head).map_err(failed)?;
        let (from, to, end) = (head.position, scanned.position, scanned.end);
        let count = scanned.index.events;
        finding
            .whole
            .push(format!("{name}: {count} events can be read, positions {from} to {to}, up to byte {end}"));
    }
    Ok(())
}

/// Reads everything in the folder at a path.
///
/// # Errors
/// When it is in use, or cannot be read. Damage is a finding.
pub fn check(path: &Path) -> Result<Finding, OpenError> {
    let folder = OsFolder::new(path);
    let mut finding = Finding { whole: Vec::new(), damaged: Vec::new() };
    let found = match survey(&folder) {
        Ok(Survey::Store(found)) => found,
        Ok(Survey::New) => {
            return Err(OpenError::Unusable("there is no event store in it: it is empty".to_owned()));
        }
        Ok(Survey::HalfMade(_)) => {
            finding.whole.push("an event store whose making was cut short; it holds no events".to_owned());
            return Ok(finding);
        }
        Ok(Survey::HalfRemoved) => {
            finding
                .whole
                .push("what is left of an event store that was being removed, by a reset".to_owned());
            return Ok(finding);
        }
        Err(OpenError::Damaged(text)) => {
            finding.damaged.push(text);
            read_what_is_there(&folder, &mut finding)?;
            return Ok(finding);
        }
        Err(error) => return Err(error),
    };
    let (mut events, mut streams) = (0, found.head.streams);
    for sealed in &found.sealed {
        let name = log_name(sealed.head.number);
        let file = folder.open(&name, false).map_err(|error| unusable(&name, &error))?;
        match scan_sealed(file.as_ref(), &sealed.head, &sealed.seal) {
            Ok(scanned) => {
                events += u64::from(scanned.index.events);
                let (from, to) = (sealed.head.position, sealed.seal.position);
                let count = scanned.index.events;
                finding.whole.push(format!("{name}: {count} events, positions {from} to {to}"));
            }
            Err(error) => finding.damaged.push(error.to_string()),
        }
        let index = index_name(sealed.head.number);
        match sealed.index {
            FoundIndex::Whole(..) => finding.whole.push(format!("{index}: whole")),
            FoundIndex::Made(_) => {
                finding
                    .whole
                    .push(format!("{index}: missing or damaged; it is made from the log at the next start"));
            }
        }
    }
    let active = &found.active;
    events += u64::from(active.index.events);
    streams = streams.max(active.streams);
    let (count, from, to) = (active.index.events, found.head.position, active.position);
    let torn = if found.torn { "; a torn end follows, which was never acknowledged" } else { "" };
    finding.whole.push(format!(
        "{}: {count} events, positions {from} to {to}, not sealed{torn}",
        log_name(found.head.number)
    ));
    for name in &found.leftovers {
        finding.whole.push(format!("{name}: unfinished; it is removed at the next start"));
    }
    finding.whole.push(format!("{events} events in {streams} streams, up to position {}", active.position));
    Ok(finding)
}
