//! Finding the end of a stream, or of the log.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reader_core::{LogPosition, Position, Target};
use wire::error::Error;
use wire::proto::streams::ReadReq;
use wire::recorded::{Head, position_of};

use crate::calls::{MAX_MESSAGE_SIZE, read};
use crate::connection::Connection;
use crate::requests::{Direction, From, Read, What, last_of_log};
use crate::road::Channel;

/// How one looks for an end.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    /// What ends there.
    pub(crate) target: Target,
    /// How large a message the reader takes, in bytes.
    pub(crate) limit: u64,
    /// How long the server may take for a search.
    pub(crate) patience: Duration,
}

/// What is found at an end.
#[derive(Debug, Default)]
struct Last {
    position: Option<Position>,
    event: Option<Bytes>,
    is_missing: bool,
}

impl Search {
    /// Where the last event is; `None` when there is none.
    ///
    /// An answer that says nothing of it is an error, and one that may pass: taken for an empty stream it would have
    /// every event be read again.
    pub(crate) async fn end(&self) -> Result<Option<Position>, Error> {
        match &self.target {
            Target::Stream { name, .. } => {
                let Last { position, is_missing, .. } = self.last(last_of(name.clone())).await?;
                if position.is_none() && !is_missing {
                    Err(failed("got an empty answer"))
                } else {
                    Ok(position)
                }
            }
            // a read of the log says nothing besides its events, so an empty one is an empty log
            Target::All { .. } => Ok(self.last(last_of_log()).await?.position),
        }
    }

    /// Whether the stream was deleted. One that was goes on with its next revision when it is appended to.
    pub(crate) async fn is_deleted(&self) -> Result<bool, Error> {
        let Target::Stream { name, .. } = &self.target else { return Ok(false) };
        let metadata = Bytes::from([b"$$", name.as_ref()].concat());
        let event = self.last(last_of(metadata)).await?.event;
        Ok(event.is_some_and(|event| event.windows(DELETED.len()).any(|part| part == DELETED)))
    }

    async fn last(&self, request: ReadReq) -> Result<Last, Error> {
        let on_log = matches!(self.target, Target::All { .. });
        // how large the last event is does not matter to who begins after it
        let limit = self.limit.max(MAX_MESSAGE_SIZE);
        let request = self.connection.timely(request, Some(self.patience));
        let mut answers = read(self.channel.clone(), request, limit).await?;
        let mut last = Last::default();
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            match position_of(&answer) {
                Ok(Head::Event(place)) => {
                    last.position = Some(if on_log {
                        Position::Log(LogPosition { commit: place.commit, prepare: place.prepare })
                    } else {
                        Position::Revision(place.revision)
                    });
                    last.event = Some(answer);
                }
                Ok(Head::LastStreamPosition(revision)) => last.position = Some(Position::Revision(revision)),
                Ok(Head::StreamNotFound) => last.is_missing = true,
                // where reading begins, the end of the log beside it, and what is new
                Ok(
                    Head::FirstStreamPosition(_)
                    | Head::LastAllPosition { .. }
                    | Head::Unknown(_)
                    | Head::Checkpoint { .. }
                    | Head::Confirmation(_)
                    | Head::CaughtUp
                    | Head::FellBehind,
                ) => {}
                Err(error) => return Err(failed(&format!("got an answer that cannot be decoded: {error}"))),
            }
        }
        Ok(last)
    }
}

/// The last event of a stream.
fn last_of(stream: Bytes) -> ReadReq {
    let what = What::Stream { name: stream, from: From::End };
    Read { what, direction: Direction::Backwards, count: 1, resolve_links: false }.request()
}

/// The largest revision there is, as `$tb` in its metadata, is how a deleted stream is known.
const DELETED: &[u8] = b"9223372036854775807";

fn failed(why: &str) -> Error {
    Error::Unavailable { message: format!("the search for the end of the stream {why}") }
}
