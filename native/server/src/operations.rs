//! `Operations`: what operators ask of a node that has nothing to scavenge or merge.

use tonic::{Code, Status};
use wire::proto::Empty;

use crate::answers::Answers;
use crate::fault;
use crate::node::Context;
use crate::orders;

/// Nothing is done where there is nothing to do.
pub fn nothing_to_do(context: &Context) -> Result<Answers, Status> {
    context.identity.operates()?;
    Ok(Answers::one(&Empty {}))
}

/// `Shutdown`.
pub fn shutdown(context: &Context) -> Result<Answers, Status> {
    context.identity.operates()?;
    orders::stop(&context.node.orders);
    Ok(Answers::one(&Empty {}))
}

/// `ResignNode`: a single node goes on to lead.
pub fn resign(context: &Context) -> Result<Answers, Status> {
    context.identity.operates()?;
    if let Some(seat) = &context.node.seat {
        seat.resign();
    }
    Ok(Answers::one(&Empty {}))
}

/// There is never anything to scavenge: what is not readable any more is kept. A real server in memory answers alike.
pub fn start_scavenge(context: &Context) -> Result<Answers, Status> {
    context.identity.operates()?;
    Err(fault::exception(Code::Unknown, "There is nothing to scavenge.".to_owned(), "scavenge-failed", &[]))
}

/// Nothing is taken out of the log: there are no files of chunks whose events could be.
pub fn no_redaction() -> Status {
    Status::unimplemented("Redaction is not implemented.")
}

/// There is never a scavenge to stop.
pub fn stop_scavenge(context: &Context) -> Result<Answers, Status> {
    context.identity.operates()?;
    Err(fault::exception(Code::NotFound, "Scavenge id was invalid.".to_owned(), "scavenge-not-found", &[]))
}
