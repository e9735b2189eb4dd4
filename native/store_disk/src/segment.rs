//! Segments of the log: their names, and what each begins with.

use std::io;

use store_core::StreamNumber;

use crate::files::{File, read_exact};
use crate::form::{Put as _, open_page, sealed_page};
use crate::marker::FORMAT;

/// How many bytes the head takes.
pub const HEAD: u64 = 128;
/// A segment is sealed when a batch would make it longer than this.
pub const SEGMENT: u64 = 64 * 1024 * 1024;
/// The lengths that may be asked for instead. Places in a segment have 32 bits, and a batch longer than a segment has one
/// of its own.
pub const SEGMENTS: std::ops::RangeInclusive<u64> = 4096..=1024 * 1024 * 1024;
/// The number of the first one.
pub const FIRST: u32 = 1;

const MAGIC: &[u8] = b"PSTKLOG1";

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u32,
    /// The folder's id.
    pub id: u128,
    /// The position at which it begins.
    pub position: u64,
    /// The number of its first frame.
    pub frame: u64,
    /// How many streams there are before it.
    pub streams: StreamNumber,
    /// How long the segment before it is.
    pub former_length: u64,
    /// The checksum of that one's last frame, which goes over all before.
    pub former_chain: u32,
}

impl Head {
    /// As it is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD as usize);
        bytes.put(MAGIC);
        bytes.put_u32(FORMAT);
        bytes.put_u32(self.number);
        bytes.put_u128(self.id);
        bytes.put_u64(self.position);
        bytes.put_u64(self.frame);
        bytes.put_u32(self.streams);
        bytes.put_u64(self.former_length);
        bytes.put_u32(self.former_chain);
        sealed_page(bytes, HEAD as usize)
    }

    /// The head of a file; nothing if it is damaged.
    pub fn read(file: &dyn File) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEAD as usize];
        match read_exact(file, &mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Self::decode(&bytes)),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = open_page(bytes)?;
        reader.expect(MAGIC)?;
        if reader.u32()? != FORMAT {
            return None;
        }
        Some(Self {
            number: reader.u32()?,
            id: reader.u128()?,
            position: reader.u64()?,
            frame: reader.u64()?,
            streams: reader.u32()?,
            former_length: reader.u64()?,
            former_chain: reader.u32()?,
        })
    }

    /// What every frame of the segment carries, so that one of another place is none.
    pub fn salt(&self) -> u32 {
        let folded = self.id ^ (self.id >> 64);
        (folded as u32) ^ ((folded >> 32) as u32) ^ self.number.wrapping_mul(0x9e37_79b9)
    }
}

/// The name of a segment of the log.
pub fn log_name(number: u32) -> String {
    format!("{number:08}.log")
}

/// The name of its index.
pub fn index_name(number: u32) -> String {
    format!("{number:08}.idx")
}

/// The name of a file until it is whole.
pub fn unfinished(name: &str) -> String {
    format!("{name}.new")
}

/// The number in a name with an ending.
pub fn number_in(name: &str, ending: &str) -> Option<u32> {
    let digits = name.strip_suffix(ending)?;
    let number = digits.parse().ok()?;
    (format!("{number:08}") == digits && number >= FIRST).then_some(number)
}
