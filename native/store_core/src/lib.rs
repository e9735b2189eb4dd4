//! The embedded event store over a storage trait: no sockets, no clock, no BEAM.
//!
//! - `units`: numbers that everybody knows
//! - `event`, `record`: an event to be appended, and as it is kept, in the form in which it is sent
//! - `limits`: what a stream's metadata says of its length
//! - `write`: a change; nothing else changes the store
//! - `page`, `storage`, `memory`: what keeps records, and the kind that forgets
//! - `command`, `fault`: what can be asked to be written, what that is answered, why it is refused
//! - `store`: streams and the log; `read`, `all`, `acl` are what is asked of it
//! - `draft`: the store, and the changes that were decided since
//! - `plan`: the change of one request, while it is put together; `repeats`, `append`, `delete` are its rules
//! - `decide`: from a request to the one change that it makes
//!
//! Modules depend on those named before them. Every operation takes the time as an argument, in ticks of 100 ns since
//! 1970.

mod acl;
mod all;
mod append;
mod command;
mod decide;
mod delete;
mod draft;
mod event;
mod fault;
mod limits;
mod memory;
mod page;
mod plan;
mod read;
mod record;
mod repeats;
mod storage;
mod store;
mod units;
mod write;

pub use acl::{ADMINS, Principal, Right};
pub use all::{AllRead, LogPage};
pub use command::{Answer, Command, Decision, Expected};
pub use draft::Draft;
pub use event::NewEvent;
pub use fault::Fault;
pub use limits::{Limits, metadata_stream};
pub use memory::Memory;
pub use page::{Direction, Filling, PageSize};
pub use read::{Extent, Found, Page, Pair, PairView, StreamPage, StreamRead};
pub use record::{Record, RecordView, StreamNumber};
pub use storage::{Awaited, Show, Storage, StorageError};
pub use store::{FIRST_POSITION, Store};
pub use units::{LAST_REVISION, MAX_APPEND, Ticks};
pub use write::{StreamRow, Write};
