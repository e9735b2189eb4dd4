//! Numbers that everybody knows.

/// Ticks of 100 ns since 1970.
pub type Ticks = u64;

/// The revision of a tombstone, and the `$tb` of a softly deleted stream.
pub const LAST_REVISION: u64 = i64::MAX as u64;

/// An append (its types, data and metadata) must have fewer bytes.
pub const MAX_APPEND: usize = 1024 * 1024;
