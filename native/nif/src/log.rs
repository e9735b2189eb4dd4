//! The log of all streams, as arguments name it: places and filters.

use client::{Filter, LogPosition, Pattern, Subject};
use rustler::{Atom, NifResult, Term};

use crate::argument;

mod atoms {
    rustler::atoms! { nil, stream, r#type = "type", prefix, regex }
}

/// The largest position that a server takes.
const LAST: u64 = i64::MAX.unsigned_abs();

/// `{commit, prepare}`, if it is that.
pub fn position(got: Term<'_>) -> Option<LogPosition> {
    let (commit, prepare) = got.decode::<(u64, u64)>().ok()?;
    (commit <= LAST && prepare <= LAST).then_some(LogPosition { commit, prepare })
}

/// nil, or a filter.
pub fn maybe_filter(got: Term<'_>) -> NifResult<Option<Filter>> {
    if got.is_atom() && atoms::nil() == got { Ok(None) } else { filter(got).map(Some) }
}

/// `{:stream | :type, {:prefix, texts} | {:regex, text}, window, multiplier}`
fn filter(got: Term<'_>) -> NifResult<Filter> {
    const TAKES: &str = "a tuple of four";
    let (subject, pattern, window, multiplier) =
        argument::any::<(Term<'_>, Term<'_>, Term<'_>, Term<'_>)>("filter", got, TAKES)?;
    let subjects = [(atoms::stream(), Subject::Stream), (atoms::r#type(), Subject::EventType)];
    let subject = argument::one_of("the subject of a filter", subject, &subjects)?;
    let number = |what, got| argument::number(what, got, 1..=u64::from(u32::MAX)).map(|number| number as u32);
    let window = number("the window of a filter", window)?;
    let multiplier = number("the checkpoint interval of a filter", multiplier)?;
    Filter::new(subject, self::pattern(pattern)?, window, multiplier)
        .map_err(|error| argument::refused("filter", got, &error.to_string()))
}

fn pattern(got: Term<'_>) -> NifResult<Pattern> {
    const TAKES: &str = "{:prefix, a list of strings in UTF-8} or {:regex, a string in UTF-8}";
    let refused = || argument::refused("the pattern of a filter", got, TAKES);
    let (kind, texts) = got.decode::<(Atom, Term<'_>)>().map_err(|_| refused())?;
    if kind == atoms::prefix() {
        texts.decode().map(Pattern::Prefixes).map_err(|_| refused())
    } else if kind == atoms::regex() {
        texts.decode().map(Pattern::Regex).map_err(|_| refused())
    } else {
        Err(refused())
    }
}
