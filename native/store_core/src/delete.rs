//! Deleting a stream softly, and for ever.

use bytes::Bytes;

use crate::command::{Answer, Expected};
use crate::draft::Draft;
use crate::event::NewEvent;
use crate::fault::Fault;
use crate::limits::metadata_stream;
use crate::plan::Plan;
use crate::units::LAST_REVISION;

/// Deletes a stream softly.
pub(crate) fn delete(plan: &mut Plan<'_>, name: &str, expected: Expected) -> Result<Answer, Fault> {
    let draft = plan.draft;
    let last = draft.writable(name)?.and_then(|stream| stream.last);
    let missing = last.is_none() && draft.next_revision(&metadata_stream(name)) == 0;
    if missing || refused(draft, name, expected, last)? {
        return Ok(Answer::Wrong { current: last });
    }
    let data = format!("{{\"$tb\":{LAST_REVISION}}}").into_bytes();
    Ok(Answer::Done { revision: None, position: Some(plan.put_metadata(name, data)) })
}

/// Deletes a stream for ever.
pub(crate) fn tombstone(plan: &mut Plan<'_>, name: &str, expected: Expected) -> Result<Answer, Fault> {
    let last = plan.draft.writable(name)?.and_then(|stream| stream.last);
    if refused(plan.draft, name, expected, last)? {
        return Ok(Answer::Wrong { current: last });
    }
    let event = NewEvent {
        id: plan.new_id(),
        kind: "$streamDeleted".to_owned(),
        json: false,
        data: Bytes::new(),
        custom: Bytes::new(),
    };
    Ok(Answer::Done { revision: None, position: Some(plan.put_tombstone(name, &event)) })
}

fn refused(draft: &Draft<'_>, name: &str, expected: Expected, last: Option<u64>) -> Result<bool, Fault> {
    let deleted = draft.deleted(name);
    match (expected, last) {
        (Expected::StreamExists, _) if deleted => Err(Fault::StreamDeleted(name.to_owned())),
        (Expected::Any, _) | (Expected::NoStream, None) | (Expected::StreamExists, Some(_)) => Ok(false),
        (Expected::NoStream, Some(_)) => Ok(!deleted),
        (Expected::Revision(revision), Some(last)) => Ok(revision != last),
        (Expected::StreamExists | Expected::Revision(_), None) => Ok(true),
    }
}
