//! The atoms that terms are made of, and the maps that have them as keys.

macro_rules! words {
    ($($word:ident $name:literal),* $(,)?) => {
        /// An atom.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is its name")]
        pub enum Word { $($word),* }

        impl Word {
            /// All of them, each at the place that it has as a number.
            pub const ALL: &[Word] = &[$(Word::$word),*];

            /// The atom's text.
            pub const fn name(self) -> &'static str {
                match self { $(Word::$word => $name),* }
            }
        }
    };
}

words! {
    Nil "nil", True "true", False "false", Undecodable "undecodable",
    Event "Elixir.Penstock.Event", DateTime "Elixir.DateTime", Iso "Elixir.Calendar.ISO",
    Struct "__struct__",
    Body "body", Id "id", Link "link", Metadata "metadata", Type "type",
    CommitPosition "commit_position", ContentType "content_type", Created "created",
    CustomMetadata "custom_metadata", PreparePosition "prepare_position", Producer "producer", RawBody "raw_body",
    StreamName "stream_name", StreamRevision "stream_revision", Subscription "subscription",
    Calendar "calendar", Day "day", Hour "hour", Microsecond "microsecond", Minute "minute", Month "month",
    Second "second", StdOffset "std_offset", TimeZone "time_zone", UtcOffset "utc_offset", Year "year",
    ZoneAbbreviation "zone_abbr",
}

/// A map whose keys are always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `%Penstock.Event{}`
    Event,
    /// An event's metadata.
    Metadata,
    /// The same with what tells JSON text from a string.
    RawMetadata,
    /// `%DateTime{}`
    DateTime,
}

impl Shape {
    /// All of them, each at the place that it has as a number.
    pub const ALL: &[Shape] = &[Shape::Event, Shape::Metadata, Shape::RawMetadata, Shape::DateTime];

    /// The keys, in the order of their names, which is the order in which a map keeps atoms before OTP 26.
    pub const fn words(self) -> &'static [Word] {
        use Word::*;
        match self {
            Shape::Event => &[Struct, Body, Id, Link, Metadata, Type],
            Shape::Metadata => &[
                CommitPosition,
                ContentType,
                Created,
                CustomMetadata,
                PreparePosition,
                Producer,
                StreamName,
                StreamRevision,
                Subscription,
            ],
            Shape::RawMetadata => &[
                CommitPosition,
                ContentType,
                Created,
                CustomMetadata,
                PreparePosition,
                Producer,
                RawBody,
                StreamName,
                StreamRevision,
                Subscription,
            ],
            Shape::DateTime => &[
                Struct,
                Calendar,
                Day,
                Hour,
                Microsecond,
                Minute,
                Month,
                Second,
                StdOffset,
                TimeZone,
                UtcOffset,
                Year,
                ZoneAbbreviation,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_and_each_shape_is_at_the_place_of_its_number() {
        for (place, word) in Word::ALL.iter().enumerate() {
            assert_eq!(*word as usize, place);
        }
        for (place, shape) in Shape::ALL.iter().enumerate() {
            assert_eq!(*shape as usize, place);
        }
    }

    #[test]
    fn the_keys_of_a_shape_are_distinct_and_in_order() {
        for shape in Shape::ALL {
            assert!(shape.words().is_sorted_by(|one, next| one.name() < next.name()), "{shape:?}");
        }
    }
}
