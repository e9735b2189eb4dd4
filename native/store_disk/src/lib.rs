//! The events of a `store_core` in a folder: one checksummed log that is only ever appended to, and indexes of it that
//! can always be made anew.
//!
//! # What is in the folder
//!
//! | file | holds |
//! |---|---|
//! | `penstock` | the format's version and the folder's id; without it nothing here is touched. It is locked while the store is open |
//! | `00000001.log`, … | the log, in segments of about 64 MB; the last one is written to |
//! | `00000001.idx`, … | the index of each segment but the last |
//! | `synced` | how far the log is known to be kept, in two slots that are written in turn |
//!
//! # What keeps it whole
//!
//! What a request changes (`store_core::Write`) is one frame of the log: half of it is never seen. A frame has a
//! checksum over everything in it and that of the frame before, so what is out of place is no frame. Every event has a
//! checksum of its own, looked at by each read. A segment begins with the length and the last checksum of the one
//! before it.
//!
//! A frame also says where its batch began: everything before that was kept when it was written. So a frame that
//! cannot be read is the torn end of the log only if no whole frame of a later batch follows it, and if `synced` does
//! not say that the log went further. Otherwise it is damage, and damage is refused: with the file, the place and what
//! can be done, and with nothing changed.
//!
//! # Modules
//!
//! - `files`, `os`: what is asked of a file system, and the real one
//! - `options`: how a store is opened
//! - `form`, `marker`, `synced`, `segment`, `frame`: how everything is written
//! - `scan`: reading a segment from its start, and judging where it ends
//! - `index`, `index_file`, `bloom`: where the events of a segment are
//! - `survey`, `settle`, `create`, `remove`, `open`: looking at a folder, putting it in order, making and removing one
//! - `log`, `sealed`, `window`: reading; `journal`, `keeper`, `helper`: writing
//! - `check`: reading all there is
//! - `error`, `wait`: what goes wrong; reads that do not wait

mod bloom;
mod check;
mod create;
mod error;
mod files;
mod form;
mod frame;
mod helper;
mod index;
mod index_file;
mod journal;
mod keeper;
mod log;
mod marker;
mod open;
mod options;
mod os;
mod remove;
mod scan;
mod sealed;
mod segment;
mod settle;
mod shared;
mod survey;
mod synced;
mod wait;
mod window;

pub use check::{Finding, check};
pub use error::OpenError;
pub use files::{File, Folder};
pub use journal::Journal;
pub use keeper::{Request, commit};
pub use marker::FORMAT;
pub use open::{Opened, open, open_in};
pub use options::{Fsync, Options};
pub use os::OsFolder;
pub use remove::Remover;
pub use segment::{SEGMENT, SEGMENTS};
pub use shared::Fetcher;
pub use wait::without_waiting;
