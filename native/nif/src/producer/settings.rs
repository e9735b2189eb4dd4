//! What a producer is started with, as terms.

use producer_core::{Cost, Limits, Settings};
use rustler::{LocalPid, NifResult, Term};
use stage_core::{AnyDispatcher, DispatcherKind};

use crate::account::limits::{COPIED_BYTE_NS, EVENT_NS, JSON_BYTE_NS, MESSAGE_NS};
use crate::argument;
use crate::dispatcher::{self, Decoded};
use crate::event_term::Bodies;
use crate::producer::consumers::Consumers;
use crate::producer::held::By;
use crate::producer::shared::{Shared, Source, Start};

mod atoms {
    rustler::atoms! { nil, forward, accumulate, id, stream_name, r#type = "type" }
}

/// Limits, whether JSON is decoded and bodies are copied, the dispatcher, how demand is met, and what events say of their
/// origin.
pub type Wanted<'a> = (Limited<'a>, (bool, bool), Term<'a>, Term<'a>, (Term<'a>, Term<'a>));
/// Events, bytes, and the events of one message to a consumer.
pub type Limited<'a> = (Term<'a>, Term<'a>, Term<'a>);

/// A producer without events, of the process that calls.
pub fn decode(owner: LocalPid, wanted: Wanted<'_>, source: Source) -> NifResult<Shared> {
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
    let Decoded { dispatcher, rate, by } = dispatcher::decode(dispatcher)?;
    argument::one_of("rate", rate, &[(atoms::nil(), ())])?;
    let by = self::by(&dispatcher, by)?;
    let (bodies, consumers) = (Bodies { decode, copy }, Consumers::new(origin));
    Ok(Shared::new(owner, Start { settings, bodies, dispatcher, by, consumers, source }))
}

/// Whether demand is met, or only kept.
pub fn forward(mode: Term<'_>) -> NifResult<bool> {
    argument::one_of("demand", mode, &[(atoms::forward(), true), (atoms::accumulate(), false)])
}

/// What tells the partitions of a dispatcher's events apart, where it has any.
fn by(dispatcher: &AnyDispatcher<u64>, by: Term<'_>) -> NifResult<Option<By>> {
    let choices =
        [(atoms::id(), By::Id), (atoms::stream_name(), By::StreamName), (atoms::r#type(), By::Type)];
    match dispatcher.kind() {
        DispatcherKind::Partition => argument::one_of("hash", by, &choices).map(Some),
        DispatcherKind::Demand | DispatcherKind::Broadcast => Ok(None),
    }
}
