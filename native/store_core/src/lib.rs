//! The embedded event store over a storage trait: no sockets, no clock, no BEAM.
//!
//! - `record`: an event as it is kept, in the form in which it is sent
//! - `storage`, `memory`: what keeps records, and the kind that forgets
//! - `store`: streams and the log; `read`, `all` are what is asked of it
//! - `draft`: what to write, decided without writing; `append`, `delete` are its operations
//! - `repeats`: what an append of known ids answers
//! - `limits`: what a stream's metadata says of its length
//!
//! Every operation takes the time as an argument, in ticks of 100 ns since 1970.

mod all;
mod append;
mod delete;
mod draft;
mod limits;
mod memory;
mod read;
mod record;
mod repeats;
mod storage;
mod store;

pub use all::{AllRead, LogPage};
pub use append::{Appended, NewEvent};
pub use delete::Deleted;
pub use draft::Draft;
pub use limits::{Limits, metadata_stream};
pub use memory::Memory;
pub use read::{Direction, Extent, Filling, Found, Page, PageSize, Pair, PairView, StreamPage, StreamRead};
pub use record::{Record, RecordView};
pub use storage::{Awaited, Show, Storage, StorageError, StreamNumber, StreamRow, Write};
pub use store::{Expected, FIRST_POSITION, Fault, Store};

/// Ticks of 100 ns since 1970.
pub type Ticks = u64;

/// The revision of a tombstone, and the `$tb` of a softly deleted stream.
pub const LAST_REVISION: u64 = i64::MAX as u64;

/// An append (its types, data and metadata) must have fewer bytes.
pub const MAX_APPEND: usize = 1024 * 1024;
