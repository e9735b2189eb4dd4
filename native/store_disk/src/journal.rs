//! Writing: batches of changes to the end of the log.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_core::{StorageError, StreamNumber, Write};

use crate::error::{describe, is_full};
use crate::files::{File, write_zeros};
use crate::frame::{self, FramePlace, MAX_FRAME};
use crate::helper::Helper;
use crate::options::{Fsync, Options};
use crate::segment::{HEAD, Head, log_name, unfinished};
use crate::shared::{Seal, Shared};
use crate::synced::{End, Synced, SyncedFile};

/// The least and the most that the log is lengthened by at once.
const ROOM: (u64, u64) = (256 * 1024, 8 * 1024 * 1024);

/// How often it is looked whether the segment's file is still there; that the marker is, is looked at each time.
const LOOK: Duration = Duration::from_secs(1);

/// Writes the log. What it has written, in whichever way it ends, is decided by what it returns.
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) helper: Arc<Helper>,
    pub(crate) options: Options,
    pub(crate) file: Arc<dyn File>,
    pub(crate) head: Head,
    pub(crate) synced: SyncedFile,
    /// Where the log ends.
    pub(crate) end: u64,
    /// How far it is known to be kept.
    pub(crate) durable: End,
    pub(crate) frame: u64,
    pub(crate) chain: u32,
    pub(crate) position: u64,
    pub(crate) streams: StreamNumber,
    pub(crate) room: Arc<Room>,
    /// When it was last looked whether the segment's file is still there.
    pub(crate) looked: Option<Instant>,
    /// Why nothing is written any more.
    pub(crate) broken: Option<String>,
    /// Whether something failed that was said, and has not worked since.
    pub(crate) failing: bool,
}

/// How far the file is filled with zeros ahead of the log, so that writing there changes nothing but those bytes.
#[derive(Default)]
pub struct Room {
    state: Mutex<RoomState>,
    done: Condvar,
}

#[derive(Clone, Copy, Default)]
struct RoomState {
    up_to: u64,
    /// Whether zeros are being written.
    growing: bool,
}

impl Room {
    pub fn up_to(up_to: u64) -> Arc<Self> {
        let state = Mutex::new(RoomState { up_to, growing: false });
        Arc::new(Self { state, done: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else writes to the file.
    fn settled(&self) -> MutexGuard<'_, RoomState> {
        let state = self.lock();
        self.done.wait_while(state, |state| state.growing).unwrap_or_else(PoisonError::into_inner)
    }

    fn grown(&self, up_to: Option<u64>) {
        let mut state = self.lock();
        state.growing = false;
        state.up_to = up_to.unwrap_or(state.up_to);
        self.done.notify_all();
    }
}

/// Where the log was when a batch began.
#[derive(Clone, Copy)]
struct Before {
    end: u64,
    frame: u64,
    chain: u32,
    position: u64,
    streams: StreamNumber,
}

impl Journal {
    /// Writes changes that were decided one after another, and returns when they are kept; each then says where.
    ///
    /// # Errors
    /// When none of them is written. After some errors nothing can be written until the store is opened again.
    pub fn write(&mut self, changes: &mut [Write]) -> Result<(), StorageError> {
        if let Some(why) = &self.broken {
            return Err(StorageError::Failed(why.clone()));
        }
        let written = self.still_there().and_then(|()| self.write_batch(changes));
        match &written {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "nothing can be written to the data folder");
            }
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::warn!("the data folder can be written to again");
            }
            _ => {}
        }
        written
    }

    fn still_there(&mut self) -> Result<(), StorageError> {
        // To ask of a file that is written to makes the next sync of it dearer.
        let look = self.looked.is_none_or(|looked| looked.elapsed() > LOOK);
        if look {
            self.looked = Some(Instant::now());
        }
        let linked = self.shared.marker.is_linked();
        match linked.and_then(|linked| Ok(linked && (!look || self.file.is_linked()?))) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.breaks("the data folder was deleted".to_owned())),
            Err(error) => Err(self.breaks(describe(&log_name(self.head.number), &error))),
        }
    }

    fn write_batch(&mut self, changes: &mut [Write]) -> Result<(), StorageError> {
        let mut streams = self.streams;
        let mut length = 0;
        for change in changes.iter() {
            let one = frame::frame_length(change, streams);
            if one > MAX_FRAME {
                return Err(StorageError::Failed(format!(
                    "a request takes {one} bytes of the log, which is too much"
                )));
            }
            length += one;
            streams = streams_after(change, streams);
        }
        if self.end > HEAD && self.end + length > self.options.segment {
            self.begin_segment()?;
        }
        let before = Before {
            end: self.end,
            frame: self.frame,
            chain: self.chain,
            position: self.position,
            streams: self.streams,
        };
        let bytes = self.encode(changes);
        debug_assert_eq!(bytes.len() as u64, length);
        if let Err(error) = self.append(&bytes, before.end) {
            self.go_back(before, length);
            return Err(error);
        }
        // A failed fsync may have thrown away what it did not write, and the next one would not say so.
        if self.options.fsync == Fsync::Group {
            self.file.sync().map_err(|error| self.breaks_on("could not be synced", &error))?;
        }
        self.end = before.end + length;
        let acknowledged = End { segment: self.head.number, offset: self.end };
        if self.options.fsync == Fsync::Group {
            self.durable = acknowledged;
        }
        let says = Synced { acknowledged, durable: self.durable };
        self.synced
            .write(says)
            .map_err(|error| self.breaks_on("is written, but not how far it goes", &error))?;
        self.make_room();
        Ok(())
    }

    fn encode(&mut self, changes: &mut [Write]) -> Vec<u8> {
        let (mut bytes, start) = (Vec::new(), self.end);
        for change in changes {
            change.kept = u64::from(self.head.number) << 32 | (start + bytes.len() as u64);
            let place = FramePlace {
                number: self.frame,
                batch: start as u32,
                former: self.chain,
                salt: self.head.salt(),
                streams: self.streams,
            };
            self.chain = frame::encode(&mut bytes, change, &place);
            self.frame += 1;
            self.streams = streams_after(change, self.streams);
            self.position = change.head;
        }
        bytes
    }

    fn append(&mut self, bytes: &[u8], at: u64) -> Result<(), StorageError> {
        let end = at + bytes.len() as u64;
        if end > self.room.lock().up_to {
            let mut state = self.room.settled();
            state.up_to = state.up_to.max(end);
        }
        self.file.write_all_at(bytes, at).map_err(|error| self.failed(&error))
    }

    /// Nothing of a batch that failed may be read later.
    fn go_back(&mut self, before: Before, length: u64) {
        (self.end, self.frame, self.chain) = (before.end, before.frame, before.chain);
        (self.position, self.streams) = (before.position, before.streams);
        let mut state = self.room.settled();
        let cleared = self.clear(before.end, length);
        state.up_to = self.file.length().unwrap_or(before.end);
        drop(state);
        if let Err(error) = cleared {
            self.breaks_on("could not be cut back to where it was", &error);
        }
    }

    fn clear(&self, end: u64, length: u64) -> io::Result<()> {
        // What lies behind the batch are zeros, but how far the batch went is not known.
        let reached = self.file.length()?.min(end + length);
        if self.file.length()? <= end + length {
            self.file.set_len(end)?;
        } else {
            write_zeros(self.file.as_ref(), end, reached)?;
        }
        self.file.sync()
    }

    /// Sees to it that there are zeros ahead of the log.
    fn make_room(&mut self) {
        let mut state = self.room.lock();
        let step = self.end.clamp(ROOM.0, ROOM.1);
        let most = self.options.segment;
        if state.growing || state.up_to >= most || state.up_to >= self.end + step / 2 {
            return;
        }
        state.growing = true;
        let from = state.up_to.max(self.end);
        let to = (from + step).min(most.max(from));
        drop(state);
        let (room, folder, name) =
            (self.room.clone(), self.shared.folder.clone(), log_name(self.head.number));
        self.helper.run(move || {
            // What goes wrong here the log finds out by itself: above all a failed fsync, which the system tells
            // everybody who has opened the file, once. So it is opened for this.
            let written = folder.open(&name, true).and_then(|file| {
                write_zeros(file.as_ref(), from, to)?;
                file.sync()
            });
            room.grown(written.is_ok().then_some(to));
        });
    }

    /// Seals the segment, and goes on in a new one.
    fn begin_segment(&mut self) -> Result<(), StorageError> {
        drop(self.room.settled());
        let head = Head {
            number: self.head.number + 1,
            id: self.head.id,
            position: self.position,
            frame: self.frame,
            streams: self.streams,
            former_length: self.end,
            former_chain: self.chain,
        };
        let name = log_name(head.number);
        let new = unfinished(&name);
        let folder = self.shared.folder.clone();
        let made = folder.create(&new).and_then(|file| {
            file.write_all_at(&head.encode(), 0)?;
            write_zeros(file.as_ref(), HEAD, ROOM.0.min(self.options.segment))?;
            file.sync()?;
            let length = file.length()?;
            folder.rename(&new, &name)?;
            Ok((file, length))
        });
        let (file, length) = made.map_err(|error| {
            let _ = folder.remove(&new);
            self.failed(&error)
        })?;
        folder.sync().map_err(|error| self.breaks_on("could not be synced", &error))?;
        let seal = Seal { end: self.end, chain: self.chain, position: self.position };
        let mut seals = self.shared.seals.lock().unwrap_or_else(PoisonError::into_inner);
        seals.insert(self.head.number, seal);
        drop(seals);
        (self.file, self.end, self.head, self.room) = (file, HEAD, head, Room::up_to(length));
        let acknowledged = End { segment: self.head.number, offset: HEAD };
        if self.options.fsync == Fsync::Group {
            self.durable = acknowledged;
        }
        let says = Synced { acknowledged, durable: self.durable };
        let said = self.synced.write(says).and_then(|()| self.synced.sync());
        said.map_err(|error| self.breaks_on("was begun, but that is not written", &error))
    }

    /// When nothing is to be written for a while: what says how far the log goes is kept, too.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn rest(&mut self) -> Result<(), StorageError> {
        match self.broken {
            Some(_) => Ok(()),
            None => {
                self.synced.sync().map_err(|error| self.breaks_on("is kept, but not how far it goes", &error))
            }
        }
    }

    /// Keeps everything, whatever the options say of single batches.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn close(mut self) -> Result<(), StorageError> {
        if self.broken.is_some() {
            return Ok(());
        }
        let end = End { segment: self.head.number, offset: self.end };
        if self.durable != end {
            self.sync_all().map_err(|error| self.breaks_on("could not be synced", &error))?;
            self.durable = end;
            let said = self.synced.write(Synced { acknowledged: end, durable: end });
            said.map_err(|error| self.breaks_on("is kept, but not how far it goes", &error))?;
        }
        self.rest()
    }

    fn sync_all(&self) -> io::Result<()> {
        for number in self.durable.segment..self.head.number {
            self.shared.folder.open(&log_name(number), true)?.sync()?;
        }
        self.file.sync()
    }

    /// Ends all writing, as when something panicked while it wrote.
    pub fn give_up(&mut self, why: &str) {
        if self.broken.is_none() {
            let error = self.breaks(why.to_owned());
            tracing::error!(%error, "nothing can be written to the data folder");
        }
    }

    fn failed(&self, error: &io::Error) -> StorageError {
        let text = describe(&log_name(self.head.number), error);
        if is_full(error) { StorageError::Full(text) } else { StorageError::Failed(text) }
    }

    fn breaks_on(&mut self, what: &str, error: &io::Error) -> StorageError {
        let name = log_name(self.head.number);
        self.breaks(describe(&format!("{name} {what}"), error))
    }

    fn breaks(&mut self, why: String) -> StorageError {
        let why = format!("{why}; the server writes nothing more until it is started again");
        self.broken = Some(why.clone());
        StorageError::Failed(why)
    }
}

fn streams_after(change: &Write, streams: StreamNumber) -> StreamNumber {
    streams + change.streams.iter().filter(|row| row.number >= streams).count() as StreamNumber
}
