//! What a subscription is doing, as its consumers see it.

use crate::{Epoch, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Connecting,
    Taken(Epoch),
    BackingOff,
    Stopped,
}

/// Two things apart: the connection, which is as it is at once, and how far its events have been emitted, which is
/// told by marks between them.
///
/// A slow consumer reaches a mark long after it was set, and the connection that it speaks of may be gone by then.
#[derive(Debug)]
pub struct Standing {
    connection: Connection,
    caught_up: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self { connection: Connection::Connecting, caught_up: false }
    }
}

impl Standing {
    /// What the subscription is doing.
    pub fn state(&self) -> State {
        match self.connection {
            Connection::Connecting => State::Connecting,
            Connection::Taken(_) if self.caught_up => State::Subscribed,
            Connection::Taken(_) => State::Reading,
            Connection::BackingOff => State::BackingOff,
            Connection::Stopped => State::Stopped,
        }
    }

    /// An attempt to connect begins.
    pub fn connecting(&mut self) {
        self.become_connection(Connection::Connecting);
    }

    /// The server has taken the subscription.
    pub fn taken(&mut self, epoch: Epoch) {
        self.become_connection(Connection::Taken(epoch));
    }

    /// The connection is lost, or could not be made.
    pub fn backing_off(&mut self) {
        self.become_connection(Connection::BackingOff);
    }

    /// There will be no other connection.
    pub fn stopped(&mut self) {
        self.become_connection(Connection::Stopped);
    }

    /// A mark is reached: all events before it have been emitted. Answers whether it counts, as it belongs to the
    /// connection that stands.
    pub fn reached(&mut self, epoch: Epoch, state: State) -> bool {
        let counts = self.connection == Connection::Taken(epoch);
        if counts {
            self.caught_up = state == State::Subscribed;
        }
        counts
    }

    fn become_connection(&mut self, connection: Connection) {
        self.connection = connection;
        self.caught_up = false;
    }
}
