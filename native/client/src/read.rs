//! Reading a stream to an end that is asked for.

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;
use wire::error::Error;
use wire::head::{Head, position_of};

use crate::connection::{Connection, read};
use crate::requests::Read;

/// The events of a read, undecoded; `None` when the stream does not exist.
///
/// The connection's deadline is for each answer, not for all of them: a long read is not a slow one.
pub async fn read_stream(connection: &Connection, what: &Read) -> Result<Option<Vec<Bytes>>, Error> {
    let mut answers =
        timely(connection, read(connection.shared(), connection.request(what.request()))).await?;
    let mut events = Vec::new();
    loop {
        let next = timely(connection, async { Ok(answers.next().await) }).await?;
        let Some(answer) = next else { return Ok(Some(events)) };
        let answer = answer.map_err(|status| connection.named(Error::from(status)))?;
        match position_of(&answer) {
            Ok(Head::Event(_)) => events.push(answer),
            Ok(Head::StreamNotFound) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(Error::Protocol { message: error.to_string() }),
        }
    }
}

pub(crate) async fn timely<T>(
    connection: &Connection,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = match connection.deadline() {
        Some(deadline) => timeout(deadline, call).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {deadline:?}", connection.address());
            Err(Error::DeadlineExceeded { message })
        }),
        None => call.await,
    };
    answer.map_err(|error| connection.named(error))
}
