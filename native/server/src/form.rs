//! How something is read, whatever it is.

use store_core::Direction;

use crate::messages::Ids;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// At the oldest event.
    Start,
    /// At the newest.
    End,
    /// At a revision of a stream, or a position of the log.
    At(u64),
    /// Just before the event at a position of the log.
    Before(u64),
}

/// What every read has.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Where to begin.
    pub start: Origin,
    /// Which way.
    pub direction: Direction,
    /// Whether links are followed.
    pub resolve: bool,
    /// The form of ids.
    pub ids: Ids,
    /// Whether the first and last revision are wanted as well.
    pub control: bool,
}
