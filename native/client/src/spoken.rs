//! Times in texts, and what a peer said.

use std::fmt;
use std::time::Duration;

/// A time as texts say it.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) => write!(f, "{seconds} s"),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

/// What is shown of what was said.
const SHOWN: usize = 80;

/// The first line of what was said.
pub(crate) fn words(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line.get(..SHOWN).unwrap_or(line).escape_ascii().to_string()
}
