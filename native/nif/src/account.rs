//! One account of the time that native calls take: the scheduler is told, so that it lets other processes run in time,
//! and what calls of each name took is kept, so that one that holds a scheduler for long can be found.
//!
//! - A call whose length depends on anything begins with `let _timed = timed!(env, "its_name");`.
//! - One on a dirty scheduler with `let _timed = timed!(dirty "its_name");`.
//! - Calls that only count have no clock for each: they go through a [`Meter`].
//! - What is freed where no call is, in a destructor, begins with `let _timed = timed!(free "what");`.

pub mod budget;
mod clock;
pub mod limits;
mod record;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustler::schedule::consume_timeslice;
use rustler::{Atom, Encoder, Env, NifResult, Term};

use crate::argument;
use clock::Began;
use limits::{CALL_NS, SLICE_NS};
pub use record::Record;

mod atoms {
    rustler::atoms! { ok, wall, thread, count, longest_ns, histogram, dirty }
}

/// The record of the calls of a name.
macro_rules! call {
    ($name:literal) => {
        $crate::account::call!($name, false)
    };
    ($name:literal, $dirty:literal) => {{
        static CALL: $crate::account::Record = $crate::account::Record::new($name, $dirty);
        &CALL
    }};
}
pub(crate) use call;

/// Takes the time of a call up to the end of its scope, however that is left.
macro_rules! timed {
    (dirty $name:literal) => {
        $crate::account::Timed::new(None, $crate::account::call!($name, true))
    };
    (free $name:literal) => {
        $crate::account::Timed::new(None, $crate::account::call!($name))
    };
    ($env:expr, $name:literal) => {
        $crate::account::Timed::new(Some($env), $crate::account::call!($name))
    };
}
pub(crate) use timed;

/// A call that is on the clock; its end is noted when this is dropped.
pub struct Timed<'a> {
    /// Of a call that the scheduler is told about.
    env: Option<Env<'a>>,
    call: &'static Record,
    began: Began,
}

impl<'a> Timed<'a> {
    pub fn new(env: Option<Env<'a>>, call: &'static Record) -> Self {
        Self { env, call, began: Began::now() }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let spent = self.began.nanos();
        self.call.add(1, spent);
        if let Some(env) = self.env {
            report(env, spent);
        }
    }
}

/// Tells the scheduler what was spent; answers what is less than the least that can be told.
fn report(env: Env<'_>, spent_ns: u64) -> u64 {
    const PERCENT_NS: u64 = SLICE_NS / 100;
    let percent = spent_ns / PERCENT_NS;
    if percent > 0 {
        consume_timeslice(env, i32::try_from(percent.min(100)).unwrap_or(100));
    }
    spent_ns % PERCENT_NS
}

/// Adds up what the calls on one resource cost, far less than a percent of a time slice each, and reports it when it
/// has become one.
///
/// A look at the clock costs half of what a call does that only counts, so those are taken for equal, but for one now
/// and then; whatever takes longer the more there is of something goes by the clock.
#[derive(Debug, Default)]
pub struct Meter {
    unreported_ns: u64,
    /// What the clock said of parts of the present call.
    clocked_ns: u64,
    /// Calls that only counted and are in no record yet: an atomic addition for each would cost schedulers that do the
    /// same a cache line.
    tallies: [Option<(&'static Record, u64)>; 4],
    calls: u16,
}

/// One of so many calls that only count is looked at by the clock all the same.
const LOOKED_AT: u16 = 64;

impl Meter {
    /// Begins a call: the time, if this one is looked at.
    pub fn begin(&mut self) -> Option<Began> {
        self.calls = self.calls.wrapping_add(1);
        (self.calls.is_multiple_of(LOOKED_AT) || clock::looks_at_all()).then(Began::now)
    }

    /// Runs a part of a call on the clock.
    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.add(start.elapsed());
        result
    }

    /// Notes what was clocked elsewhere.
    pub fn add(&mut self, spent: Duration) {
        self.clocked_ns = self.clocked_ns.saturating_add(nanos(spent));
    }

    /// Notes the end of a call that `began` so.
    pub fn end(&mut self, env: Env<'_>, call: &'static Record, began: Option<Began>) {
        let clocked = std::mem::take(&mut self.clocked_ns);
        let spent = match began {
            Some(began) => began.nanos(),
            None => clocked.saturating_add(CALL_NS),
        };
        if began.is_none() && clocked == 0 {
            self.tally(call);
        } else {
            call.add(1, spent);
        }
        let all = self.unreported_ns.saturating_add(spent);
        self.unreported_ns = report(env, all);
        if self.unreported_ns < all {
            self.settle();
        }
    }

    fn tally(&mut self, call: &'static Record) {
        for tally in &mut self.tallies {
            match tally {
                Some((known, count)) if std::ptr::eq(*known, call) => {
                    *count += 1;
                    return;
                }
                None => {
                    *tally = Some((call, 1));
                    return;
                }
                Some(_) => {}
            }
        }
        call.add(1, CALL_NS);
    }

    /// Brings what was tallied into the records.
    fn settle(&mut self) {
        for (call, count) in self.tallies.iter_mut().filter_map(Option::take) {
            call.add(count, CALL_NS);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.settle();
    }
}

fn nanos(spent: Duration) -> u64 {
    u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of the calls of each name since the library was loaded or [`native_times_reset`]: `%{name =>
/// %{count: n, longest_ns: n, histogram: [n], dirty: boolean}}`. The histogram counts the calls of less than 1 us,
/// then of less than 2, 4, 8 and so on, to the first that exceeds a second. Calls that only count are in it a
/// hundred at a time.
#[rustler::nif]
fn native_times(env: Env<'_>) -> NifResult<Term<'_>> {
    let _timed = timed!(env, "native_times");
    let records = record::known().clone();
    let mut times = Term::map_new(env);
    for record in records {
        times = times.map_put(Atom::from_str(env, record.name)?, of(env, record)?)?;
    }
    Ok(times)
}

fn of<'a>(env: Env<'a>, record: &Record) -> NifResult<Term<'a>> {
    let read = |number: &AtomicU64| number.load(Relaxed);
    let pairs = [
        (atoms::count(), read(&record.count).encode(env)),
        (atoms::longest_ns(), read(&record.longest_ns).encode(env)),
        (atoms::histogram(), record.histogram.iter().map(read).collect::<Vec<_>>().encode(env)),
        (atoms::dirty(), record.dirty.encode(env)),
    ];
    Term::map_from_pairs(env, &pairs)
}

/// By which clock calls are timed from now on: `wall`, as at first, or `thread`, by the time that the thread has had of a
/// core. That one is for tests: it is dear, and every call is looked at.
#[rustler::nif]
fn native_times_clock<'a>(env: Env<'a>, clock: Term<'a>) -> NifResult<Atom> {
    let _timed = timed!(env, "native_times_clock");
    clock::of_threads(argument::one_of("clock", clock, &[(atoms::wall(), false), (atoms::thread(), true)])?);
    Ok(atoms::ok())
}

/// Forgets what was.
#[rustler::nif]
fn native_times_reset(env: Env<'_>) -> Atom {
    let _timed = timed!(env, "native_times_reset");
    for record in record::known().iter() {
        record.reset();
    }
    atoms::ok()
}
