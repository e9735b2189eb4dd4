/// Which connection of a producer, by number: what belongs to an older one says nothing of the one that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// What a producer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Asking for its source, for the first time or again.
    Connecting,
    /// Emitting events that were there already.
    Reading,
    /// Emitting events as they come into being.
    Subscribed,
    /// Waiting before the next attempt.
    BackingOff,
    /// Over: nothing more comes.
    Stopped,
}

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
    /// What the producer is doing.
    pub fn state(&self) -> Activity {
        match self.connection {
            Connection::Connecting => Activity::Connecting,
            Connection::Taken(_) if self.caught_up => Activity::Subscribed,
            Connection::Taken(_) => Activity::Reading,
            Connection::BackingOff => Activity::BackingOff,
            Connection::Stopped => Activity::Stopped,
        }
    }

    /// An attempt to connect begins.
    pub fn connecting(&mut self) {
        self.become_connection(Connection::Connecting);
    }

    /// The connection stands.
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
    pub fn reached(&mut self, epoch: Epoch, state: Activity) -> bool {
        let counts = self.connection == Connection::Taken(epoch);
        if counts {
            self.caught_up = state == Activity::Subscribed;
        }
        counts
    }

    fn become_connection(&mut self, connection: Connection) {
        self.connection = connection;
        self.caught_up = false;
    }
}
