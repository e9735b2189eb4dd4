//! Reading a stream to an end that is asked for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};
use wire::error::{Error, Which};
use wire::recorded::{Head, position_of};

use crate::calls::read;
use crate::connection::{Connection, Spoken};
use crate::node::Node;
use crate::requests::{Direction, Read};

/// What a read may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// How large a message may be, in bytes.
    pub message: u64,
    /// How long the whole read may take; `None`: as long as no answer takes longer than the connection's deadline.
    pub timeout: Option<Duration>,
}

/// The events of a read, undecoded; `None` when the stream does not exist.
///
/// The connection's deadline is for each answer, not for all of them: a long read is not a slow one.
pub async fn read_stream(
    connection: &Connection,
    what: &Read,
    limits: ReadLimits,
) -> Result<Option<Vec<Bytes>>, Error> {
    let node = connection.node();
    let answer = timely(&node, limits.timeout, read_all(connection, &node, what, limits.message)).await;
    answer.map_err(|error| connection.failed(&node, error))
}

async fn read_all(
    connection: &Connection,
    node: &Node,
    what: &Read,
    limit: u64,
) -> Result<Option<Vec<Bytes>>, Error> {
    let deadline = connection.deadline();
    let opening = read(node.shared(), connection.request(what.request()), limit);
    let mut answers = timely(node, deadline, opening).await?;
    let mut events = Vec::new();
    let mut next = Which::First;
    loop {
        let Some(answer) = timely(node, deadline, async { Ok(answers.next().await) }).await? else {
            return Ok(Some(events));
        };
        let answer = answer.map_err(|status| Error::from(status).at(next))?;
        match position_of(&answer) {
            Ok(Head::Event(_)) if events.len() as u64 == what.count => {
                let message = format!("it is one more than the {} that were asked for", what.count);
                return Err(Error::Undecodable { what: next, message });
            }
            Ok(Head::Event(place)) => {
                next = match what.direction {
                    Direction::Forwards => Which::After(place.revision),
                    Direction::Backwards => Which::Before(place.revision),
                };
                events.push(answer);
            }
            Ok(Head::StreamNotFound) => return Ok(None),
            // where the stream begins and ends, what belongs to subscriptions, and what is new
            Ok(
                Head::FirstStreamPosition(_)
                | Head::LastStreamPosition(_)
                | Head::LastAllPosition { .. }
                | Head::Confirmation(_)
                | Head::CaughtUp
                | Head::FellBehind
                | Head::Checkpoint { .. }
                | Head::Unknown(_),
            ) => {}
            Err(error) => return Err(Error::Undecodable { what: next, message: error.to_string() }),
        }
    }
}

/// The call's answer, or that it did not come within `limit`.
pub(crate) async fn timely<T>(
    node: &Node,
    limit: Option<Duration>,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = limit else { return call.await };
    let began = Instant::now();
    match timeout(limit, call).await {
        // the transport has the same limit, and may be the first to say so
        Err(_) => Err(late(node, limit)),
        Ok(Err(Error::DeadlineExceeded { .. })) if began.elapsed() >= limit => Err(late(node, limit)),
        Ok(answer) => answer,
    }
}

fn late(node: &Node, limit: Duration) -> Error {
    let message = format!("{} did not answer within {}", node.address(), Spoken(limit));
    Error::DeadlineExceeded { message }
}
