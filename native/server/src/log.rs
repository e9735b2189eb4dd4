//! Pages of the log, and whether there is more after them.

use store_core::{AllRead, Direction, Fault, PageSize, Pair, Store, Ticks};

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Look {
    /// The position to begin at: forwards with its event, backwards before it.
    pub from: u64,
    /// Which way.
    pub direction: Direction,
    /// How much at most.
    pub size: PageSize,
    /// Whether links are followed.
    pub resolve: bool,
}

/// What was found.
pub struct Glance {
    /// The events, in reading order.
    pub events: Vec<Pair>,
    /// The position at which reading goes on, unless there was nothing to read.
    pub next: Option<u64>,
    /// Whether there is something to read there already.
    pub more: bool,
}

/// Looks at the log. The end of a page is not the end of the log: large events fill a page sooner.
pub fn glance(store: &Store, look: Look, now: Ticks) -> Result<Glance, Fault> {
    let Look { from, direction, size, resolve } = look;
    let page = store.read_all(&AllRead { from, direction, size, resolve, fits: None }, now)?;
    let more = match (page.next, direction) {
        (None, _) => false,
        (Some(_), Direction::Backwards) => true,
        // The log's end may be beyond its last event.
        (Some(next), Direction::Forwards) => {
            next < store.head() && !matches!(store.check_position(next), Err(Fault::AheadOfLog))
        }
    };
    Ok(Glance { events: page.events, next: page.next, more })
}

/// The position of an event: its link's, if that is how it was found.
pub fn position(pair: &Pair) -> u64 {
    pair.link.as_ref().or(pair.event.as_ref()).map_or(0, |record| record.position)
}
