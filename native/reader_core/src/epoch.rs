//! Which attempt something belongs to.

/// An attempt of a subscription to reach its server: what belongs to an older one says nothing of the one that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// The attempt of this number; the first one is 1.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Before the first one.
    pub(crate) const NONE: Self = Self(0);

    /// None that there will be.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
