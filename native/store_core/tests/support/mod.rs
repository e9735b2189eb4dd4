//! What the tests of the store share: requests in one line.
#![allow(dead_code, reason = "no test uses all of it")]

use store_core::{Answer, Command, Expected, Fault, NewEvent, Store, Ticks};

pub fn append(stream: &str, expected: Expected, events: &[NewEvent]) -> Command {
    Command::Append { stream: stream.to_owned(), expected, events: events.to_vec() }
}

pub fn delete(stream: &str, expected: Expected) -> Command {
    Command::Delete { stream: stream.to_owned(), expected }
}

pub fn tombstone(stream: &str, expected: Expected) -> Command {
    Command::Tombstone { stream: stream.to_owned(), expected }
}

/// Requests to a store that forgets.
pub trait Writes {
    fn append(
        &mut self,
        stream: &str,
        expected: Expected,
        events: &[NewEvent],
        now: Ticks,
    ) -> Result<Answer, Fault>;
    fn delete(&mut self, stream: &str, expected: Expected, now: Ticks) -> Result<Answer, Fault>;
    fn tombstone(&mut self, stream: &str, expected: Expected, now: Ticks) -> Result<Answer, Fault>;
}

impl Writes for Store {
    fn append(
        &mut self,
        stream: &str,
        expected: Expected,
        events: &[NewEvent],
        now: Ticks,
    ) -> Result<Answer, Fault> {
        self.execute(&append(stream, expected, events), now)
    }

    fn delete(&mut self, stream: &str, expected: Expected, now: Ticks) -> Result<Answer, Fault> {
        self.execute(&delete(stream, expected), now)
    }

    fn tombstone(&mut self, stream: &str, expected: Expected, now: Ticks) -> Result<Answer, Fault> {
        self.execute(&tombstone(stream, expected), now)
    }
}
