//! Reading the log, a page at a time.

use crate::Ticks;
use crate::read::{Direction, PageSize, Pair};
use crate::store::{Fault, Store};

/// What to read of the log.
#[derive(Clone, Copy, Debug)]
pub struct AllRead {
    /// The position to begin at: forwards with its event, backwards before it.
    pub from: u64,
    /// Which way.
    pub direction: Direction,
    /// How much at most.
    pub size: PageSize,
    /// Whether links are followed.
    pub resolve: bool,
}

/// A page of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The events, in reading order.
    pub events: Vec<Pair>,
    /// The position at which reading goes on, unless there was nothing to read.
    pub next: Option<u64>,
}

impl Store {
    /// Reads a page of the log.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub fn read_all(&self, read: &AllRead, now: Ticks) -> Result<LogPage, Fault> {
        let records = self.storage.log_page(read.from, read.direction, read.size)?;
        let next = records.last().map(|record| match read.direction {
            Direction::Forwards => record.position + 1,
            Direction::Backwards => record.position,
        });
        Ok(LogPage { events: self.pairs(records, read.resolve, now)?, next })
    }

    /// Whether an event is at a position.
    ///
    /// # Errors
    /// [`Fault::InvalidPosition`] when it lies between events, [`Fault::AheadOfLog`] when beyond them.
    pub fn check_position(&self, position: u64) -> Result<(), Fault> {
        let found = self.storage.log_page(position, Direction::Forwards, PageSize::events(1))?;
        match found.first() {
            Some(record) if record.position == position => Ok(()),
            Some(_) => Err(Fault::InvalidPosition),
            None => Err(Fault::AheadOfLog),
        }
    }
}
