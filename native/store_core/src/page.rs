//! How much is read at once, and which way.

use crate::record::Record;

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the oldest to the newest.
    Forwards,
    /// From the newest to the oldest.
    Backwards,
}

/// How much one page may hold: so many events, and no further event once it has so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

impl PageSize {
    /// A page bounded by its number of events alone.
    #[must_use]
    pub fn events(events: usize) -> Self {
        Self { events, bytes: usize::MAX }
    }

    /// The page, with nothing on it.
    #[must_use]
    pub fn empty(self) -> Filling {
        Filling { size: self, events: 0, bytes: 0 }
    }

    /// As much of `records` as fits on the page.
    ///
    /// # Errors
    /// The first error among them.
    pub fn take<E>(self, mut records: impl Iterator<Item = Result<Record, E>>) -> Result<Vec<Record>, E> {
        let mut page = Vec::with_capacity(self.events.min(records.size_hint().0));
        let mut filling = self.empty();
        while !filling.is_full()
            && let Some(record) = records.next()
        {
            let record = record?;
            filling.add(record.sent_length());
            page.push(record);
        }
        Ok(page)
    }
}

/// How full a page is.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    size: PageSize,
    events: usize,
    bytes: usize,
}

impl Filling {
    /// Adds an event that is sent in so many bytes, about.
    pub fn add(&mut self, sent_length: usize) {
        self.events += 1;
        self.bytes = self.bytes.saturating_add(sent_length);
    }

    /// Whether it has room for no further event.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events >= self.size.events || self.bytes >= self.size.bytes
    }

    /// What there is room for.
    #[must_use]
    pub fn room(&self) -> PageSize {
        PageSize {
            events: self.size.events.saturating_sub(self.events),
            bytes: self.size.bytes.saturating_sub(self.bytes),
        }
    }
}
