//! Reading a stream, a page at a time.

use crate::Ticks;
use std::convert::Infallible;

use crate::limits::Limits;
use crate::record::Record;
use crate::store::{Fault, Store, Stream};

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

    /// As much of `records` as fits on the page.
    pub fn take(self, records: impl Iterator<Item = Record>) -> Vec<Record> {
        let Ok(page) = self.try_take(records.map(Ok::<_, Infallible>));
        page
    }

    /// As much of `records` as fits on the page.
    ///
    /// # Errors
    /// The first error among them.
    pub fn try_take<E>(self, records: impl Iterator<Item = Result<Record, E>>) -> Result<Vec<Record>, E> {
        let mut page = Vec::with_capacity(self.events.min(records.size_hint().0));
        let mut bytes = 0;
        for record in records.take(self.events) {
            let record = record?;
            bytes += record.sent_length();
            page.push(record);
            if bytes >= self.bytes {
                break;
            }
        }
        Ok(page)
    }
}

/// An event as it was found: itself, or what a link leads to and the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The event, unless a link leads nowhere.
    pub event: Option<Record>,
    /// The link by which it was found.
    pub link: Option<Record>,
}

/// What to read of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRead<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// The revision to begin with.
    pub from: u64,
    /// Which way.
    pub direction: Direction,
    /// How much at most.
    pub size: PageSize,
    /// Whether links are followed.
    pub resolve: bool,
    /// Whether the stream's limits are left aside.
    pub unlimited: bool,
}

/// Events of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events, in reading order.
    pub events: Vec<Pair>,
    /// The revision at which reading goes on, unless this way there is nothing more.
    pub next: Option<u64>,
}

/// A page of a stream that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPage {
    /// The events.
    pub page: Page,
    /// The first revision that is to be read.
    pub first: u64,
    /// The last revision of the stream.
    pub last: u64,
}

/// What was found under a stream's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Events, perhaps none.
    Stream(StreamPage),
    /// No stream: it never had an event, or is deleted.
    Missing,
}

impl Store {
    /// Reads a page of a stream.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] when it is tombstoned, or [`Fault::Storage`].
    pub fn read_stream(&self, read: &StreamRead<'_>, now: Ticks) -> Result<Found, Fault> {
        let limits = self.limits_of(read.name);
        let Some(stream) = self.readable(read.name)? else { return Ok(Found::Missing) };
        let Some(last) = stream.last else { return Ok(Found::Missing) };
        if limits.deleted() && !read.unlimited {
            return Ok(Found::Missing);
        }
        let first = if read.unlimited { 0 } else { self.first_revision(stream, last, &limits, now)? };
        let page = match read.direction {
            Direction::Forwards => self.forwards(stream, read, (first, last), now)?,
            Direction::Backwards => self.backwards(stream, read, (first, last), now)?,
        };
        Ok(Found::Stream(StreamPage { page, first, last }))
    }

    fn forwards(
        &self,
        stream: &Stream,
        read: &StreamRead<'_>,
        (first, last): (u64, u64),
        now: Ticks,
    ) -> Result<Page, Fault> {
        let from = read.from.max(first);
        if from > last {
            return Ok(Page::default());
        }
        let records = self.storage.stream_page(stream.number, from, Direction::Forwards, read.size)?;
        let next = records.last().map(|record| record.revision + 1).filter(|next| *next <= last);
        Ok(Page { events: self.pairs(records, read.resolve, now)?, next })
    }

    fn backwards(
        &self,
        stream: &Stream,
        read: &StreamRead<'_>,
        (first, last): (u64, u64),
        now: Ticks,
    ) -> Result<Page, Fault> {
        let from = read.from.min(last);
        if from < first {
            return Ok(Page::default());
        }
        let left = usize::try_from(from - first + 1).unwrap_or(usize::MAX);
        let size = PageSize { events: read.size.events.min(left), ..read.size };
        let records = self.storage.stream_page(stream.number, from, Direction::Backwards, size)?;
        let next = records.last().and_then(|record| record.revision.checked_sub(1));
        Ok(Page { events: self.pairs(records, read.resolve, now)?, next: next.filter(|next| *next >= first) })
    }

    /// The first revision within the limits; one beyond the last if there is none.
    fn first_revision(&self, stream: &Stream, last: u64, limits: &Limits, now: Ticks) -> Result<u64, Fault> {
        let start = limits.start(last);
        let Some(oldest) = limits.max_age.map(|age| now.saturating_sub(age)) else { return Ok(start) };
        let (mut low, mut high) = (start.min(last + 1), last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let too_old =
                self.storage.event(stream.number, middle)?.is_none_or(|record| record.created < oldest);
            if too_old { low = middle + 1 } else { high = middle }
        }
        Ok(low.max(start))
    }

    /// Follows links, if asked to.
    pub(crate) fn pairs(&self, records: Vec<Record>, resolve: bool, now: Ticks) -> Result<Vec<Pair>, Fault> {
        let mut pairs = Vec::with_capacity(records.len());
        for record in records {
            let pair = match resolve.then(|| link_target(&record)).flatten() {
                Some((revision, name)) => {
                    let event = self.target(revision, &name, now)?;
                    Pair { event, link: Some(record) }
                }
                None => Pair { event: Some(record), link: None },
            };
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// What a link leads to, unless that is not to be read.
    fn target(&self, revision: i64, name: &str, now: Ticks) -> Result<Option<Record>, Fault> {
        let Ok(Some(stream)) = self.readable(name) else { return Ok(None) };
        let Some(last) = stream.last else { return Ok(None) };
        let limits = self.limits_of(name);
        let Ok(revision) = u64::try_from(if revision == -1 { last as i64 } else { revision }) else {
            return Ok(None);
        };
        let first = self.first_revision(stream, last, &limits, now)?;
        if limits.deleted() || revision < first {
            return Ok(None);
        }
        Ok(self.storage.event(stream.number, revision)?)
    }
}

/// Where a link leads: `revision@stream`. What is no link in form is an ordinary event.
fn link_target(record: &Record) -> Option<(i64, String)> {
    if record.kind() != "$>" {
        return None;
    }
    let text = std::str::from_utf8(record.data()).ok()?;
    let (revision, name) = text.split_once('@').unwrap_or((text, ""));
    Some((revision.parse().ok()?, name.to_owned()))
}
