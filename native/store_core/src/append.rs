//! Appending to a stream.

use crate::command::{Answer, Expected};
use crate::draft::Draft;
use crate::event::NewEvent;
use crate::fault::Fault;
use crate::limits::{Limits, metadata_stream, with_truncation};
use crate::plan::Plan;
use crate::record::Record;
use crate::repeats::{Repeat, repeat};

/// Appends events to a stream if it is as expected.
pub(crate) fn append(
    plan: &mut Plan<'_>,
    name: &str,
    expected: Expected,
    events: &[NewEvent],
) -> Result<Answer, Fault> {
    let draft = plan.draft;
    let last = draft.writable(name)?.and_then(|stream| stream.last);
    let deleted = draft.deleted(name);
    if deleted && expected == Expected::StreamExists {
        return Err(Fault::StreamDeleted(name.to_owned()));
    }
    match repeat(draft, name, expected, events, deleted)? {
        Repeat::Wrong => Ok(Answer::Wrong { current: last }),
        Repeat::Known { revision, position } => {
            Ok(Answer::Done { revision: Some(revision), position: position.filter(|_| !deleted) })
        }
        Repeat::New => {
            let Some(event) = events.last() else {
                return Ok(Answer::Done { revision: last, position: Some(plan.skip()) });
            };
            let revived = revived(draft, name, last, deleted, event)?;
            let written = plan.put(name, events);
            if let Some((described, data)) = revived {
                plan.put_metadata(&described, data);
            }
            Ok(Answer::Done {
                revision: written.map_or(last, |(revision, _)| Some(revision)),
                position: written.map(|(_, position)| position),
            })
        }
    }
}

/// A deleted stream that is written to, or described anew, begins after what was deleted: the stream and the
/// metadata that says so, which belongs to the same change.
fn revived(
    draft: &Draft<'_>,
    name: &str,
    last: Option<u64>,
    deleted: bool,
    event: &NewEvent,
) -> Result<Option<(String, Vec<u8>)>, Fault> {
    if deleted {
        let current = metadata(draft, name)?;
        let current = current.as_ref().map(|record| (record.json, record.data()));
        let before = last.map_or(0, |last| last + 1);
        return Ok(Some((name.to_owned(), with_truncation(current, before))));
    }
    let Some(described) = name.strip_prefix("$$") else { return Ok(None) };
    let next = draft.next_revision(described);
    let stays_deleted = Limits::of_data(event.json, &event.data).deleted();
    if !draft.deleted(described) || next == 0 || stays_deleted {
        return Ok(None);
    }
    Ok(Some((described.to_owned(), with_truncation(Some((event.json, &event.data)), next))))
}

/// The last event of a stream's metadata.
fn metadata(draft: &Draft<'_>, name: &str) -> Result<Option<Record>, Fault> {
    let metadata = metadata_stream(name);
    match draft.next_revision(&metadata).checked_sub(1) {
        Some(last) => draft.event(&metadata, last),
        None => Ok(None),
    }
}
