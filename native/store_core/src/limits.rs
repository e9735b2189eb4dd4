//! What the metadata of a stream says of where the stream begins.

use serde_json::{Map, Value};

use crate::record::Record;
use crate::units::{LAST_REVISION, Ticks};

const TICKS_A_SECOND: u64 = 10_000_000;

/// The limits of a stream; events outside them are not read, but kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Only so many of the last events are read.
    pub max_count: Option<u64>,
    /// Only events from this revision on are read.
    pub truncate_before: Option<u64>,
    /// Only events younger than this are read.
    pub max_age: Option<Ticks>,
}

/// The metadata stream of a stream.
#[must_use]
pub fn metadata_stream(name: &str) -> String {
    format!("$${name}")
}

impl Limits {
    /// The limits that an event of a metadata stream sets.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self::of_data(record.json, record.data())
    }

    pub(crate) fn of_data(json: bool, data: &[u8]) -> Self {
        let metadata = object(json, data).unwrap_or_default();
        let positive = |key: &str| metadata.get(key).and_then(Value::as_u64).filter(|number| *number > 0);
        let well_formed = ["$maxCount", "$tb", "$maxAge"]
            .iter()
            .all(|key| metadata.get(*key).is_none_or(|value| value.is_i64() || value.is_u64()));
        if !well_formed {
            return Self::default();
        }
        Self {
            max_count: positive("$maxCount"),
            truncate_before: metadata.get("$tb").and_then(Value::as_u64),
            max_age: positive("$maxAge").map(|seconds| seconds.saturating_mul(TICKS_A_SECOND)),
        }
    }

    /// The limits of a metadata stream itself.
    #[must_use]
    pub fn of_metadata() -> Self {
        Self { max_count: Some(1), ..Self::default() }
    }

    /// Whether the stream was softly deleted and not written to since.
    #[must_use]
    pub fn deleted(&self) -> bool {
        self.truncate_before == Some(LAST_REVISION)
    }

    /// The first revision that these limits leave, age apart.
    #[must_use]
    pub fn start(&self, last: u64) -> u64 {
        let by_count = self.max_count.map_or(0, |count| (last + 1).saturating_sub(count));
        self.truncate_before.unwrap_or(0).max(by_count)
    }
}

/// Metadata, of which is said whether it is JSON, with another `$tb` and the rest as it was.
pub(crate) fn with_truncation(metadata: Option<(bool, &[u8])>, before: u64) -> Vec<u8> {
    let mut metadata = metadata.and_then(|(json, data)| object(json, data)).unwrap_or_default();
    metadata.insert("$tb".to_owned(), Value::from(before));
    Value::Object(metadata).to_string().into_bytes()
}

fn object(json: bool, data: &[u8]) -> Option<Map<String, Value>> {
    if !json {
        return None;
    }
    match serde_json::from_slice(data) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}
