//! Places in a stream and in the log of all streams.

use std::fmt;

/// The largest revision, and the largest commit and prepare position. What is beyond it means something else to a
/// server, so it is never sent to one.
pub const LARGEST: u64 = i64::MAX.unsigned_abs();

/// Where something stands in the log of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// The commit position.
    pub commit: u64,
    /// The prepare position.
    pub prepare: u64,
}

/// Where something stands in what is subscribed to. Of one and the same, the later one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// In a stream.
    Revision(u64),
    /// In the log.
    Log(LogPosition),
}

impl Position {
    /// The revision; `None` for a position in the log.
    pub fn revision(self) -> Option<u64> {
        match self {
            Self::Revision(revision) => Some(revision),
            Self::Log(_) => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::Log(LogPosition { commit, prepare }) => write!(f, "position C:{commit}/P:{prepare}"),
        }
    }
}

/// Both of an event's places: a link's own, not its target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// In the stream that it was written to.
    pub revision: u64,
    /// In the log.
    pub log: LogPosition,
}

/// A position without its kind, which is the same through the life of a subscription, as one number: comparing two of them
/// is all that an event costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point(u128);

impl Point {
    #[inline]
    fn new(major: u64, minor: u64) -> Self {
        Self(u128::from(major) << 64 | u128::from(minor))
    }

    #[inline]
    pub(crate) fn of_revision(revision: u64) -> Self {
        Self::new(revision, 0)
    }

    #[inline]
    pub(crate) fn of_log(LogPosition { commit, prepare }: LogPosition) -> Self {
        Self::new(commit, prepare)
    }

    pub(crate) fn of(position: Position) -> Self {
        match position {
            Position::Revision(revision) => Self::of_revision(revision),
            Position::Log(position) => Self::of_log(position),
        }
    }

    pub(crate) fn position(self, on_log: bool) -> Position {
        if on_log { Position::Log(self.log()) } else { Position::Revision(self.revision()) }
    }

    pub(crate) fn revision(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(crate) fn log(self) -> LogPosition {
        LogPosition { commit: self.revision(), prepare: self.0 as u64 }
    }

    #[inline]
    pub(crate) fn is_possible(self) -> bool {
        const NEITHER: u128 = (1 << 127) | (1 << 63);
        self.0 & NEITHER == 0
    }
}
