//! The steps of an attempt, and what is waited for.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use reader_core::{Answer, Position};
use tonic::Streaming;
use wire::error::Error;

use crate::actor::Used;
use crate::connection::Connection;
use crate::node::Node;
use crate::road::Channel;

/// What a step has come to.
pub(super) enum Done {
    Road(Arc<Node>, Channel),
    End(Option<Position>),
    Answers(Streaming<Bytes>),
}

/// Why a step came to nothing.
pub(super) struct Broken {
    pub(super) error: Error,
    /// The connection knows of it.
    pub(super) is_told: bool,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { error, is_told: false }
    }
}

/// What has come, of several things that were waited for.
pub(super) enum Came {
    Done(Result<Done, Broken>),
    Message(Option<Result<Bytes, tonic::Status>>),
    Searched(Answer),
    /// Another node is used, by everybody.
    Moved,
    Time,
}

/// A connection of its own to the node that is used by then.
pub(super) async fn connect(connection: Connection) -> Result<Done, Broken> {
    let told = |error| Broken { error, is_told: true };
    let node = connection.newest_node().await.map_err(told)?;
    match node.own().await {
        Ok(channel) => Ok(Done::Road(node, channel)),
        Err(error) => Err(told(connection.failed(&node, error))),
    }
}

/// The next message of the call; never without one.
pub(super) async fn next(answers: &mut Option<Streaming<Bytes>>) -> Option<Result<Bytes, tonic::Status>> {
    match answers {
        Some(answers) => answers.next().await,
        None => pending().await,
    }
}

/// Another node may be used now.
pub(super) async fn changed(used: &mut Used) {
    if used.changed().await.is_err() {
        pending().await
    }
}
