//! Reading the log, a page at a time.

use crate::fault::Fault;
use crate::page::{Direction, PageSize};
use crate::read::Pair;
use crate::record::Record;
use crate::store::Store;
use crate::units::Ticks;

/// What to read of the log.
#[derive(Clone, Copy)]
pub struct AllRead<'a> {
    /// The position to begin at: forwards with its event, backwards before it.
    pub from: u64,
    /// Which way.
    pub direction: Direction,
    /// How much at most.
    pub size: PageSize,
    /// Whether links are followed.
    pub resolve: bool,
    /// Which of the events are wanted; of a link, the link itself is asked about.
    pub fits: Option<&'a dyn Fn(&Record) -> bool>,
}

/// A page of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The events, in reading order.
    pub events: Vec<Pair>,
    /// The positions of all events looked at, if some may be unwanted.
    pub considered: Vec<u64>,
    /// The position at which reading goes on, unless there was nothing to read.
    pub next: Option<u64>,
}

impl Store {
    /// Reads a page of the log.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub fn read_all(&self, read: &AllRead<'_>, now: Ticks) -> Result<LogPage, Fault> {
        let mut records = self.storage.log_page(read.from, read.direction, read.size)?;
        let next = records.last().map(|record| match read.direction {
            Direction::Forwards => record.position + 1,
            Direction::Backwards => record.position,
        });
        let mut considered = Vec::new();
        if let Some(fits) = read.fits {
            considered.extend(records.iter().map(|record| record.position));
            records.retain(fits);
        }
        Ok(LogPage { events: self.pairs(records, read.resolve, now)?, considered, next })
    }

    /// Whether reading may begin at a position: at an event, or at 0, which is the beginning.
    ///
    /// # Errors
    /// [`Fault::InvalidPosition`] when it lies between events, [`Fault::AheadOfLog`] when beyond them.
    pub fn check_position(&self, position: u64) -> Result<(), Fault> {
        if position == 0 {
            return Ok(());
        }
        let found = self.storage.log_page(position, Direction::Forwards, PageSize::events(1))?;
        match found.first() {
            Some(record) if record.position == position => Ok(()),
            Some(_) => Err(Fault::InvalidPosition),
            None => Err(Fault::AheadOfLog),
        }
    }
}
