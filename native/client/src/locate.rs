//! Finding the end of a stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;
use wire::error::Error;
use wire::head::{Head, position_of};

use crate::connection::{Connection, MAX_MESSAGE_SIZE, Spoken, read};
use crate::requests::{Direction, From, Read};
use crate::road::Channel;

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the event of this revision.
    At(u64),
    /// There is no such stream (yet), or it was deleted.
    Missing,
}

impl End {
    pub(crate) fn revision(self) -> Option<u64> {
        match self {
            Self::At(revision) => Some(revision),
            Self::Missing => None,
        }
    }
}

/// How one looks for the end of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    /// The stream's name.
    pub(crate) stream: Bytes,
    /// How large a message the reader takes, in bytes.
    pub(crate) limit: u64,
    /// How long the whole search may take.
    pub(crate) patience: Duration,
}

impl Search {
    /// Where the stream ends.
    ///
    /// An answer that says nothing of it is an error, and one that may pass: taken for an empty stream it would have
    /// every event be read again.
    pub(crate) async fn end(&self) -> Result<End, Error> {
        let found = timeout(self.patience, self.last(self.stream.clone())).await;
        let (end, _) = found
            .unwrap_or_else(|_| Err(failed(&format!("was not answered within {}", Spoken(self.patience)))))?;
        Ok(end)
    }

    /// The same for a stream that was expected to have events. One that was deleted goes on with its next revision
    /// when it is appended to, so it is no shorter than it was: then the answer is `None`.
    pub(crate) async fn end_if_not_deleted(&self) -> Result<Option<End>, Error> {
        let end = self.end().await?;
        if end == End::Missing && self.is_deleted().await { Ok(None) } else { Ok(Some(end)) }
    }

    /// Metadata that nobody may read says nothing; then the stream counts as missing.
    async fn is_deleted(&self) -> bool {
        let metadata = Bytes::from([b"$$", self.stream.as_ref()].concat());
        match timeout(self.patience, self.last(metadata)).await {
            Ok(Ok((_, Some(event)))) => event.windows(DELETED.len()).any(|part| part == DELETED),
            _ => false,
        }
    }

    async fn last(&self, stream: Bytes) -> Result<(End, Option<Bytes>), Error> {
        let last =
            Read { stream, from: From::End, direction: Direction::Backwards, count: 1, resolve_links: false };
        // how large the last event is does not matter to who begins after it
        let limit = self.limit.max(MAX_MESSAGE_SIZE);
        let request = self.connection.timely(last.request(), Some(self.patience));
        let mut answers = read(self.channel.clone(), request, limit).await?;
        let (mut end, mut event) = (None, None);
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            match position_of(&answer) {
                Ok(Head::Event(place)) => {
                    end = end.max(Some(place.revision));
                    event = Some(answer);
                }
                Ok(Head::LastStreamPosition(revision)) => end = end.max(Some(revision)),
                Ok(Head::StreamNotFound) => return Ok((End::Missing, None)),
                Ok(_) => {}
                Err(error) => return Err(failed(&format!("got an answer that cannot be decoded: {error}"))),
            }
        }
        let end = end.ok_or_else(|| failed("got an empty answer"))?;
        Ok((End::At(end), event))
    }
}

/// The largest revision there is, as `$tb` in its metadata, is how a deleted stream is known.
const DELETED: &[u8] = b"9223372036854775807";

fn failed(why: &str) -> Error {
    Error::Unavailable { message: format!("the search for the end of the stream {why}") }
}
