//! What a producer is started with, as terms.

use producer_core::{Cost, Limits, Settings};
use rustler::{Atom, LocalPid, NifResult, Term};
use stage_core::{
    AnyDispatcher, BroadcastDispatcher, DemandDispatcher, DemandOptions, Lag, Membership, PartitionDispatcher,
};

use crate::account::limits::{COPIED_BYTE_NS, EVENT_NS, JSON_BYTE_NS, MESSAGE_NS};
use crate::argument;
use crate::event_term::Bodies;
use crate::producer::consumers::Consumers;
use crate::producer::held::By;
use crate::producer::shared::{Shared, Start};

mod atoms {
    rustler::atoms! {
        nil, forward, accumulate, demand, broadcast, partition, id, stream_name, r#type = "type", block, cancel, drop_oldest,
    }
}

/// More partitions than anybody has use for; `Penstock.PartitionDispatcher` refuses them by name.
const MOST_PARTITIONS: u64 = 10_000_000;

/// Limits, whether JSON is decoded and bodies are copied, the dispatcher, how demand is met, and what events say of their
/// origin.
pub type Wanted<'a> = (Limited<'a>, (bool, bool), Term<'a>, Term<'a>, (Term<'a>, Term<'a>));
/// Events, bytes, and the events of one message to a consumer.
pub type Limited<'a> = (Term<'a>, Term<'a>, Term<'a>);

/// A producer without events, of the process that calls.
pub fn decode(owner: LocalPid, wanted: Wanted<'_>, after: Option<u64>) -> NifResult<Shared> {
    let ((events, bytes, most), (decode, copy), dispatcher, mode, origin) = wanted;
    let limits = Limits {
        events: argument::size("buffer_size", events, 1..=u64::MAX)?,
        bytes: argument::size("buffer_bytes", bytes, 1..=u64::MAX)?,
    };
    let json = if decode { JSON_BYTE_NS } else { 0 };
    let copied = if copy { COPIED_BYTE_NS } else { 0 };
    let settings = Settings {
        limits,
        most: argument::size("max_count", most, 1..=1000)?,
        cost: Cost { event: EVENT_NS, byte: json + copied, message: MESSAGE_NS },
        forward: forward(mode)?,
    };
    let (dispatcher, by) = self::dispatcher(dispatcher)?;
    let (bodies, consumers) = (Bodies { decode, copy }, Consumers::new(origin));
    Ok(Shared::new(owner, Start { settings, bodies, dispatcher, by, consumers, after }))
}

/// Whether demand is met, or only kept.
pub fn forward(mode: Term<'_>) -> NifResult<bool> {
    argument::one_of("demand", mode, &[(atoms::forward(), true), (atoms::accumulate(), false)])
}

/// From `:broadcast`, `{:demand, max_demand, seed}` or `{:partition, count, by}`.
fn dispatcher(term: Term<'_>) -> NifResult<(AnyDispatcher<u64>, Option<By>)> {
    if term.is_atom() && atoms::broadcast() == term {
        return Ok((AnyDispatcher::Broadcast(BroadcastDispatcher::new()), None));
    }
    let takes = "{:demand, max_demand, seed}, :broadcast or {:partition, count, by}";
    let (kind, one, other) = argument::any::<(Atom, Term<'_>, Term<'_>)>("dispatcher", term, takes)?;
    if kind == atoms::demand() {
        let options = DemandOptions {
            max_demand: optional("max_demand", one)?,
            shuffle_first_deal: optional("the seed of the first deal", other)?,
            rate: None,
        };
        Ok((AnyDispatcher::Demand(DemandDispatcher::new(options)), None))
    } else if kind == atoms::partition() {
        let count = argument::size("partitions", one, 1..=MOST_PARTITIONS)?;
        let choices =
            [(atoms::id(), By::Id), (atoms::stream_name(), By::StreamName), (atoms::r#type(), By::Type)];
        let by = argument::one_of("hash", other, &choices)?;
        Ok((AnyDispatcher::Partition(PartitionDispatcher::new(count)), Some(by)))
    } else {
        Err(argument::refused("dispatcher", term, takes))
    }
}

fn optional(what: &str, term: Term<'_>) -> NifResult<Option<u64>> {
    if term.is_atom() && atoms::nil() == term {
        return Ok(None);
    }
    argument::number(what, term, 1..=u64::MAX).map(Some)
}

/// From `nil`, from `{:partition, number}`, or from how to lag behind a broadcast.
pub fn membership(how: Term<'_>) -> NifResult<Membership> {
    if how.is_atom() && atoms::nil() == how {
        return Ok(Membership::Demand);
    }
    let takes = "nil, {:partition, number}, :block, :cancel or {:drop_oldest, number}";
    let lags = [(atoms::block(), Lag::Block), (atoms::cancel(), Lag::Cancel)];
    if let Some((_, lag)) = lags.iter().find(|(name, _)| how.is_atom() && *name == how) {
        return Ok(Membership::Broadcast(*lag));
    }
    let (kind, number) = argument::any::<(Atom, u64)>("a subscription", how, takes)?;
    if kind == atoms::partition() {
        Ok(Membership::Partition(usize::try_from(number).unwrap_or(usize::MAX)))
    } else if kind == atoms::drop_oldest() {
        Ok(Membership::Broadcast(Lag::DropOldest(number)))
    } else {
        Err(argument::refused("a subscription", how, takes))
    }
}
