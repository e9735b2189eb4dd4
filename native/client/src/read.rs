//! Reading to an end that is asked for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout_at;
use wire::error::{Error, Which};
use wire::recorded::{Head, Place, position_of};

use crate::calls::read;
use crate::connection::{Connection, Limit};
use crate::node::Node;
use crate::requests::{Direction, Read, What};
use crate::spoken::Spoken;

/// What a read may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// How large a message may be, in bytes.
    pub message: u64,
    /// So many bytes of events, and the read ends with the one that makes them full; `None`: with the last one.
    pub page: Option<u64>,
    /// How long the whole read may take; `None`: as long as no answer takes longer than the connection's deadline.
    pub timeout: Option<Duration>,
}

/// What a read came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, undecoded.
    pub events: Vec<Bytes>,
    /// The last revision of the stream that was read, where the server says so.
    pub last_revision: Option<u64>,
    /// It ended before the read did, as it is full.
    pub is_full: bool,
}

/// The events of a read; `None` when the stream does not exist.
///
/// The connection's deadline is for each answer, not for all of them: a long read is not a slow one.
pub async fn read_events(
    connection: &Connection,
    what: &Read,
    limits: ReadLimits,
) -> Result<Option<Page>, Error> {
    let whole = Limit::of(limits.timeout);
    let search = whole.or_else(|| Limit::of(connection.deadline()));
    let answer = connection.call(search, true, |node| async move {
        timely(&node, whole, read_all(connection, &node, what, limits)).await
    });
    answer.await
}

async fn read_all(
    connection: &Connection,
    node: &Node,
    what: &Read,
    limits: ReadLimits,
) -> Result<Option<Page>, Error> {
    let deadline = connection.deadline();
    let opening = read(node.shared(), connection.request(what.request()), limits.message);
    let mut answers = timely(node, Limit::of(deadline), opening).await?;
    let mut page = Page { events: Vec::new(), last_revision: None, is_full: false };
    let mut bytes = 0;
    let mut next = Which::First;
    loop {
        let Some(answer) = timely(node, Limit::of(deadline), async { Ok(answers.next().await) }).await?
        else {
            return Ok(Some(page));
        };
        let answer = answer.map_err(|status| Error::from(status).at(next))?;
        match position_of(&answer) {
            Ok(Head::Event(_)) if page.events.len() as u64 == what.count => {
                let message = format!("it is one more than the {} that were asked for", what.count);
                return Err(Error::Undecodable { what: next, message });
            }
            Ok(Head::Event(place)) => {
                next = following(what, place);
                bytes += answer.len() as u64;
                page.events.push(answer);
                // what is left of the call is cancelled with it
                if limits.page.is_some_and(|most| bytes >= most) {
                    page.is_full = true;
                    return Ok(Some(page));
                }
            }
            Ok(Head::StreamNotFound) => return Ok(None),
            Ok(Head::LastStreamPosition(revision)) => page.last_revision = Some(revision),
            // where reading begins, what belongs to subscriptions, and what is new
            Ok(
                Head::FirstStreamPosition(_)
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

/// The event that comes after the one at this place.
fn following(read: &Read, Place { revision, commit, prepare }: Place) -> Which {
    match (&read.what, read.direction) {
        (What::Stream { .. }, Direction::Forwards) => Which::After(revision),
        (What::Stream { .. }, Direction::Backwards) => Which::Before(revision),
        (What::All { .. }, Direction::Forwards) => Which::AfterLog { commit, prepare },
        (What::All { .. }, Direction::Backwards) => Which::BeforeLog { commit, prepare },
    }
}

/// The call's answer, or that it did not come within the limit.
pub(crate) async fn timely<T>(
    node: &Node,
    limit: Option<Limit>,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = limit else { return call.await };
    match timeout_at(limit.until, call).await {
        // the transport has the same limit, and may be the first to say so
        Err(_) => Err(late(node, limit.time)),
        Ok(Err(Error::DeadlineExceeded { .. })) if limit.left() < TICK => Err(late(node, limit.time)),
        Ok(answer) => answer,
    }
}

/// What timers differ by.
const TICK: Duration = Duration::from_millis(2);

fn late(node: &Node, limit: Duration) -> Error {
    let message = format!("{} did not answer within {}", node.address(), Spoken(limit));
    Error::DeadlineExceeded { message }
}
