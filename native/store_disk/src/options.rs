//! How a store is opened.

use crate::segment::SEGMENT;

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// When the disk has it: appends that wait are synced together.
    #[default]
    Group,
    /// When the operating system has it: it survives the end of the process, but not that of the machine.
    Never,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When an append is acknowledged.
    pub fsync: Fsync,
    /// How long a segment may become, in bytes: one of [`SEGMENTS`](crate::SEGMENTS).
    pub segment: u64,
    /// Whether what nobody waits for has a thread of its own.
    pub helper: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: Fsync::default(), segment: SEGMENT, helper: true }
    }
}
