//! A change to the store: nothing else changes it.

use std::sync::Arc;

use crate::limits::Limits;
use crate::record::{Record, StreamNumber};

/// What is kept of a stream besides its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Its name.
    pub name: Arc<str>,
    /// Its number.
    pub number: StreamNumber,
    /// The revision of its last event, unless it has none.
    pub last: Option<u64>,
    /// Whether it is gone for ever.
    pub tombstoned: bool,
}

/// One change, made wholly or not at all.
#[derive(Debug, Default)]
pub struct Write {
    /// The events, in the order of the log.
    pub records: Vec<Record>,
    /// The streams that the events belong to, as they are afterwards.
    pub streams: Vec<StreamRow>,
    /// The position after the last event.
    pub head: u64,
    /// Where the change was written, in whatever form the storage knows; nothing to a storage that does not write.
    pub kept: u64,
}

impl Write {
    /// Takes another change in that was decided after this one.
    pub(crate) fn followed_by(&mut self, later: Self) {
        self.records.extend(later.records);
        for row in later.streams {
            self.put_row(row);
        }
        self.head = later.head;
    }

    /// How a stream is now; there is one row for each.
    pub(crate) fn put_row(&mut self, row: StreamRow) {
        match self.streams.iter_mut().find(|known| known.number == row.number) {
            Some(known) => *known = row,
            None => self.streams.push(row),
        }
    }

    /// The streams that are described anew, and their limits: none, when what describes them is gone for ever.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&str, Option<Limits>)> {
        self.streams.iter().filter_map(|StreamRow { name, number, tombstoned, .. }| {
            let described = name.strip_prefix("$$")?;
            let newest = self.records.iter().rev().find(|record| record.stream == *number);
            Some((described, newest.filter(|_| !tombstoned).map(Limits::of)))
        })
    }
}
