//! The keys of the maps that an event is made of, looked up once.

use std::sync::OnceLock;

use rustler::Atom;

mod atoms {
    rustler::atoms! {
        __struct__, body, id, link, metadata, type_ = "type",
        commit_position, content_type, created, custom_metadata, prepare_position, producer, raw_body,
        stream_name, stream_revision, subscription,
        calendar, day, hour, microsecond, minute, month, second, std_offset, time_zone, utc_offset, year, zone_abbr,
        event_module = "Elixir.Penstock.Event", date_time = "Elixir.DateTime", iso = "Elixir.Calendar.ISO",
        undecodable,
    }
}

/// Each array is in the order of its names, which is the order in which a map keeps atoms before OTP 26.
pub struct Keys {
    pub event: [Atom; 6],
    pub metadata: [Atom; 9],
    /// The same with what tells JSON text from a string.
    pub raw_metadata: [Atom; 10],
    pub date_time: [Atom; 13],
    pub event_module: Atom,
    pub date_time_module: Atom,
    pub iso: Atom,
    pub undecodable: Atom,
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        use atoms::*;
        Keys {
            event: [__struct__(), body(), id(), link(), metadata(), type_()],
            metadata: [
                commit_position(),
                content_type(),
                created(),
                custom_metadata(),
                prepare_position(),
                producer(),
                stream_name(),
                stream_revision(),
                subscription(),
            ],
            raw_metadata: [
                commit_position(),
                content_type(),
                created(),
                custom_metadata(),
                prepare_position(),
                producer(),
                raw_body(),
                stream_name(),
                stream_revision(),
                subscription(),
            ],
            date_time: [
                __struct__(),
                calendar(),
                day(),
                hour(),
                microsecond(),
                minute(),
                month(),
                second(),
                std_offset(),
                time_zone(),
                utc_offset(),
                year(),
                zone_abbr(),
            ],
            event_module: event_module(),
            date_time_module: atoms::date_time(),
            iso: iso(),
            undecodable: undecodable(),
        }
    })
}
