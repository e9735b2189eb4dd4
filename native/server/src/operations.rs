//! `Operations`: what clients may ask of a single node that has nothing to scavenge or merge.

use tonic::{Code, Status};
use wire::proto::Empty;

use crate::answers::Answers;
use crate::fault;

/// Nothing is done where there is nothing to do.
pub fn nothing_to_do() -> Answers {
    Answers::one(&Empty {})
}

/// There is never a scavenge to stop: what is not readable any more is kept.
pub fn stop_scavenge() -> Status {
    fault::exception(Code::NotFound, "Scavenge id was invalid.".to_owned(), "scavenge-not-found", &[])
}
