//! When an event was stored, as a `%DateTime{}` in UTC.

pub use crate::calendar::Created;
use crate::sink::{Name, TermSink};
use crate::word::{Shape, Word};

/// As many digits of a second are known.
const DIGITS: u64 = 6;

/// Writes `%DateTime{}`, to the microsecond.
pub fn write<'f, S: TermSink<'f> + ?Sized>(sink: &mut S, created: Created) {
    sink.begin_record(Shape::DateTime);
    for word in Shape::DateTime.words() {
        sink.field(*word);
        match word {
            Word::Struct => sink.word(Word::DateTime),
            Word::Calendar => sink.word(Word::Iso),
            Word::Day => sink.unsigned(created.day),
            Word::Hour => sink.unsigned(created.hour),
            Word::Microsecond => {
                sink.begin_tuple(2);
                sink.unsigned(created.microsecond);
                sink.unsigned(DIGITS);
                sink.end_tuple(2);
            }
            Word::Minute => sink.unsigned(created.minute),
            Word::Month => sink.unsigned(created.month),
            Word::Second => sink.unsigned(created.second),
            Word::TimeZone => sink.name(Name::Zone, b"Etc/UTC"),
            Word::Year => sink.unsigned(created.year),
            Word::ZoneAbbreviation => sink.name(Name::ZoneAbbreviation, b"UTC"),
            // both offsets
            _ => sink.unsigned(0),
        }
    }
    sink.end_record(Shape::DateTime);
}
