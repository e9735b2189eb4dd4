//! Whether an append is new, known, or not as expected. Ids alone decide; each stream has its own.

use crate::command::Expected;
use crate::draft::Draft;
use crate::event::NewEvent;
use crate::fault::Fault;

/// What an append is, in view of the ids that its stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// To be written.
    New,
    /// Written before: revision and position of the last event named.
    Known { revision: u64, position: Option<u64> },
    /// Neither.
    Wrong,
}

/// What an append to a stream is.
pub(crate) fn repeat(
    draft: &Draft<'_>,
    name: &str,
    expected: Expected,
    events: &[NewEvent],
    deleted: bool,
) -> Result<Repeat, Fault> {
    let last = draft.stream(name).and_then(|(_, stream)| stream.last);
    match (expected, last) {
        (Expected::Any, None) | (Expected::NoStream, None) => Ok(Repeat::New),
        (Expected::StreamExists, None) | (Expected::Revision(_), None) => Ok(Repeat::Wrong),
        (Expected::Any | Expected::StreamExists, Some(_)) => anywhere(draft, name, events),
        (Expected::NoStream, Some(_)) => match lying_at(draft, name, 0, events)? {
            Repeat::Wrong if deleted => Ok(Repeat::New),
            found => Ok(found),
        },
        (Expected::Revision(revision), Some(last)) if revision == last => Ok(Repeat::New),
        (Expected::Revision(revision), Some(last)) if revision < last => {
            lying_at(draft, name, revision + 1, events)
        }
        (Expected::Revision(_), Some(_)) => Ok(Repeat::Wrong),
    }
}

/// The first event decides: once it is known all must be, and where they are does not matter.
fn anywhere(draft: &Draft<'_>, name: &str, events: &[NewEvent]) -> Result<Repeat, Fault> {
    let mut found = None;
    for (index, event) in events.iter().enumerate() {
        match draft.revision_of(name, event.id)? {
            Some(revision) => found = Some(revision),
            None if index == 0 => return Ok(Repeat::New),
            None => return Ok(Repeat::Wrong),
        }
    }
    match found {
        Some(revision) => known(draft, name, revision),
        None => Ok(Repeat::New),
    }
}

/// All events must lie one after another from a revision on.
fn lying_at(draft: &Draft<'_>, name: &str, first: u64, events: &[NewEvent]) -> Result<Repeat, Fault> {
    let Some(count) = (events.len() as u64).checked_sub(1) else { return Ok(Repeat::Wrong) };
    for (event, revision) in events.iter().zip(first..) {
        let there = draft.event(name, revision)?;
        if there.is_none_or(|record| record.id != event.id) {
            return Ok(Repeat::Wrong);
        }
    }
    known(draft, name, first + count)
}

fn known(draft: &Draft<'_>, name: &str, revision: u64) -> Result<Repeat, Fault> {
    let record = draft.event(name, revision)?;
    Ok(Repeat::Known { revision, position: record.map(|record| record.position) })
}
