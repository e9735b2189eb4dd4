//! Reading a stream, a page at a time.

use crate::fault::Fault;
use crate::limits::Limits;
use crate::page::{Direction, PageSize};
use crate::record::{Record, RecordView};
use crate::storage::StorageError;
use crate::store::{Store, Stream};
use crate::units::Ticks;

/// An event as it was found: itself, or what a link leads to and the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The event, unless a link leads nowhere.
    pub event: Option<Record>,
    /// The link by which it was found.
    pub link: Option<Record>,
}

/// An event as it was found, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PairView<'a> {
    /// The event, unless a link leads nowhere.
    pub event: Option<RecordView<'a>>,
    /// The link by which it was found.
    pub link: Option<RecordView<'a>>,
}

impl Pair {
    /// Both, borrowed.
    #[must_use]
    pub fn view(&self) -> PairView<'_> {
        PairView { event: self.event.as_ref().map(Record::view), link: self.link.as_ref().map(Record::view) }
    }
}

impl PairView<'_> {
    /// Both, to be kept.
    #[must_use]
    pub fn to_pair(&self) -> Pair {
        let kept = |record: Option<RecordView<'_>>| record.map(|record| record.to_record());
        Pair { event: kept(self.event), link: kept(self.link) }
    }
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

/// What there is besides the events of a page that were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The revision at which reading goes on, unless this way there is nothing more.
    pub next: Option<u64>,
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
        let mut events = Vec::new();
        let extent = self.show_stream(read, now, &mut |pair| events.push(pair.to_pair()))?;
        Ok(match extent {
            Some(Extent { next, first, last }) => {
                Found::Stream(StreamPage { page: Page { events, next }, first, last })
            }
            None => Found::Missing,
        })
    }

    /// Shows the events of a page of a stream where they are kept, unless there is no stream: it never had an event,
    /// or is deleted. After an error what was shown is not the page.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] when it is tombstoned, or [`Fault::Storage`].
    pub fn show_stream(
        &self,
        read: &StreamRead<'_>,
        now: Ticks,
        show: &mut dyn FnMut(PairView<'_>),
    ) -> Result<Option<Extent>, Fault> {
        let limits = self.limits_of(read.name);
        let Some(stream) = self.readable(read.name)? else { return Ok(None) };
        let Some(last) = stream.last else { return Ok(None) };
        if limits.deleted() && !read.unlimited {
            return Ok(None);
        }
        let first = if read.unlimited { 0 } else { self.first_revision(stream, last, &limits, now)? };
        let (from, left) = match read.direction {
            Direction::Forwards => (read.from.max(first), (last + 1).saturating_sub(read.from.max(first))),
            Direction::Backwards => (read.from.min(last), (read.from.min(last) + 1).saturating_sub(first)),
        };
        let events = read.size.events.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut shown = None;
        if events > 0 {
            let size = PageSize { events, ..read.size };
            self.storage.show_stream(stream.number, from, read.direction, size, &mut |record| {
                shown = Some(record.revision);
                self.show(record, read.resolve, now, show)
            })?;
        }
        let next = shown.and_then(|revision| match read.direction {
            Direction::Forwards => Some(revision + 1),
            Direction::Backwards => revision.checked_sub(1),
        });
        Ok(Some(Extent { next: next.filter(|next| (first..=last).contains(next)), first, last }))
    }

    /// Shows an event, or follows a link if asked to.
    fn show(
        &self,
        record: RecordView<'_>,
        resolve: bool,
        now: Ticks,
        show: &mut dyn FnMut(PairView<'_>),
    ) -> Result<(), StorageError> {
        match resolve.then(|| link_target(record)).flatten() {
            Some((revision, name)) => {
                let event = self.target(revision, &name, now)?;
                show(PairView { event: event.as_ref().map(Record::view), link: Some(record) });
            }
            None => show(PairView { event: Some(record), link: None }),
        }
        Ok(())
    }

    /// The first revision within the limits; one beyond the last if there is none.
    fn first_revision(
        &self,
        stream: &Stream,
        last: u64,
        limits: &Limits,
        now: Ticks,
    ) -> Result<u64, StorageError> {
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
            let pair = match resolve.then(|| link_target(record.view())).flatten() {
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
    fn target(&self, revision: i64, name: &str, now: Ticks) -> Result<Option<Record>, StorageError> {
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
        self.storage.event(stream.number, revision)
    }
}

/// Where a link leads: `revision@stream`. What is no link in form is an ordinary event.
fn link_target(record: RecordView<'_>) -> Option<(i64, String)> {
    if record.kind_bytes() != b"$>" {
        return None;
    }
    let text = std::str::from_utf8(record.data()).ok()?;
    let (revision, name) = text.split_once('@').unwrap_or((text, ""));
    Some((revision.parse().ok()?, name.to_owned()))
}
