//! Events as terms: a list of them from the batches that they came in.

use producer_core::Taken;
use reader_core::{LogPosition, Position};
use rustler::{Env, Term};
use terms::event::Recorded;
use wire::error::Error;

use crate::event_term::{Bodies, Encoder, readable};
use crate::producer::held::Held;

/// What was built.
#[derive(Default)]
pub struct Built {
    /// How many events.
    pub count: usize,
    /// Where the last one stands in what was read.
    pub last: Option<Place>,
    /// Why there are fewer than there should be: an event that cannot be read.
    pub fault: Option<Error>,
}

/// Where an event stands in its stream, and in the log.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    revision: u64,
    log: LogPosition,
}

impl Place {
    /// The one of the two that counts.
    pub fn position(self, on_log: bool) -> Position {
        if on_log { Position::Log(self.log) } else { Position::Revision(self.revision) }
    }
}

fn place(event: &Recorded<'_>) -> Place {
    Place { revision: event.revision, log: LogPosition { commit: event.commit, prepare: event.prepare } }
}

/// Hands each event to `push`, up to the first one that cannot be read.
pub fn build<'b>(
    env: Env<'b>,
    bodies: Bodies,
    (producer, subscription): (Term<'b>, Term<'b>),
    taken: &[Taken<Held>],
    mut push: impl FnMut(Term<'b>),
) -> Built {
    let mut built = Built::default();
    let mut current: Option<(&Held, Encoder<'b, '_>)> = None;
    for Taken { frame, events } in taken {
        let known = current.take().filter(|(held, _)| held.is(frame));
        let (_, encoder) = current.insert(
            known.unwrap_or_else(|| (frame, Encoder::new(env, &frame.0, bodies, producer, subscription))),
        );
        for index in events.clone() {
            match readable(frame.0.messages().get(index).map_or(b"", |message| message)) {
                Ok(event) => {
                    built.last = event.original().map(place).or(built.last);
                    built.count += 1;
                    push(encoder.event(index, &event));
                }
                Err(fault) => {
                    built.fault = Some(fault);
                    return built;
                }
            }
        }
    }
    built
}
