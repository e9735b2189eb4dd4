//! The index of a sealed segment as a file. What every read needs is held in memory; where single events are is read.
//!
//! | part | holds |
//! |---|---|
//! | head | what it is the index of, and how many there are of everything |
//! | directory | names, runs, tombstones, blocks, the filter of ids, the checksums of the pages |
//! | pages | the offsets of the events of each stream; then hash and offset of each id, by hash |

use std::io;
use std::sync::Arc;

use store_core::StreamNumber;

use crate::bloom::{Bloom, hash};
use crate::files::{File, read_exact};
use crate::form::{Put as _, Reader, open_page, sealed_page};
use crate::index::{Block, Index};
use crate::marker::FORMAT;

const MAGIC: &[u8] = b"PSTKIDX1";
const HEAD: usize = 128;
/// What has one checksum.
pub const PAGE: u64 = 4096;
/// What an id takes: hash, offset.
pub const ID: u64 = 12;
/// What an event's place takes.
pub const OFFSET: u64 = 4;
/// How much is read at once when all is looked at.
const CHUNK: u64 = 256 * PAGE;

/// What an index is the index of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of {
    /// The folder.
    pub id: u128,
    /// The segment.
    pub number: u32,
    /// Where it ends.
    pub end: u64,
    /// The checksum of its last frame.
    pub chain: u32,
    /// The position after it.
    pub position: u64,
}

/// The events of a stream in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRun {
    pub stream: StreamNumber,
    pub first: u64,
    /// How many places of events are before the first of these.
    pub place: u32,
    pub count: u32,
}

/// What is wanted once, when the store is opened.
#[derive(Debug, Default)]
pub struct Contents {
    pub names: Vec<(StreamNumber, Arc<str>)>,
    pub runs: Vec<StoredRun>,
    pub tombstones: Vec<StreamNumber>,
}

/// What every read needs.
#[derive(Debug)]
pub struct Directory {
    /// In the order of the log.
    pub blocks: Vec<Block>,
    /// Which ids cannot be there.
    pub bloom: Bloom,
    /// Where in the file the pages begin.
    pub pages_at: u64,
    /// How many bytes there are in pages.
    pub length: u64,
    /// Where among those the ids begin.
    pub ids_at: u64,
    /// How many there are.
    pub ids: u32,
    /// The checksum of each page.
    pub checksums: Vec<u32>,
}

/// An index as bytes.
pub fn encode(index: &Index, of: &Of) -> Vec<u8> {
    let runs = index.in_order();
    let mut pages = Vec::with_capacity(index.ids.len() * (ID + OFFSET) as usize);
    for offset in runs.iter().flat_map(|(_, _, run)| &run.offsets) {
        pages.put_u32(*offset);
    }
    let ids_at = pages.len() as u64;
    let mut ids: Vec<_> = index.ids.iter().map(|((stream, id), at)| (hash(*stream, *id), *at)).collect();
    ids.sort_unstable();
    for (hash, offset) in &ids {
        pages.put_u64(*hash);
        pages.put_u32(*offset);
    }
    let bloom = Bloom::of(ids.iter().map(|(hash, _)| *hash));
    let mut directory = Vec::new();
    for (number, name) in &index.names {
        directory.put_u32(*number);
        directory.put_u32(name.len() as u32);
        directory.put(name.as_bytes());
    }
    for (stream, _, run) in &runs {
        directory.put_u32(*stream);
        directory.put_u64(run.first);
        directory.put_u32(run.offsets.len() as u32);
    }
    for stream in &index.tombstones {
        directory.put_u32(*stream);
    }
    for block in &index.blocks {
        directory.put_u64(block.position);
        directory.put_u32(block.offset);
        directory.put_u32(block.left);
    }
    for word in bloom.words() {
        directory.put_u64(*word);
    }
    for page in pages.chunks(PAGE as usize) {
        directory.put_u32(crc32fast::hash(page));
    }
    let mut head = Vec::with_capacity(HEAD);
    head.put(MAGIC);
    head.put_u32(FORMAT);
    put_of(&mut head, of);
    for count in [index.names.len(), runs.len(), index.tombstones.len()] {
        head.put_u32(count as u32);
    }
    for count in [index.blocks.len(), bloom.words().len(), ids.len()] {
        head.put_u32(count as u32);
    }
    head.put_u64(ids_at);
    head.put_u64(pages.len() as u64);
    head.put_u64(directory.len() as u64);
    head.put_u32(crc32fast::hash(&directory));
    let mut out = sealed_page(head, HEAD);
    out.append(&mut directory);
    out.resize(out.len().next_multiple_of(PAGE as usize), 0);
    out.append(&mut pages);
    out
}

fn put_of(out: &mut Vec<u8>, of: &Of) {
    out.put_u128(of.id);
    out.put_u32(of.number);
    out.put_u64(of.end);
    out.put_u32(of.chain);
    out.put_u64(of.position);
}

/// The index in a file, all of which is looked at; nothing if any of it is not as it was written, or of another segment.
pub fn read(file: &dyn File, of: &Of) -> io::Result<Option<(Directory, Contents)>> {
    let mut head = vec![0; HEAD];
    let directory = match read_exact(file, &mut head, 0).map(|()| Counts::decode(&head, of)) {
        Ok(Some(counts)) if counts.fit(file.length()?) => counts,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let counts = directory;
    let mut bytes = vec![0; counts.directory as usize];
    read_exact(file, &mut bytes, HEAD as u64)?;
    if crc32fast::hash(&bytes) != counts.crc {
        return Ok(None);
    }
    let Some((directory, contents)) = counts.parse(&bytes) else { return Ok(None) };
    Ok(directory.pages_check(file)?.then_some((directory, contents)))
}

struct Counts {
    names: u32,
    runs: u32,
    tombstones: u32,
    blocks: u32,
    words: u32,
    ids: u32,
    ids_at: u64,
    length: u64,
    directory: u64,
    crc: u32,
}

impl Counts {
    fn decode(bytes: &[u8], of: &Of) -> Option<Self> {
        let mut reader = open_page(bytes)?;
        reader.expect(MAGIC)?;
        if reader.u32()? != FORMAT {
            return None;
        }
        let mut expected = Vec::new();
        put_of(&mut expected, of);
        reader.expect(&expected)?;
        let (names, runs, tombstones) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (blocks, words, ids) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (ids_at, length, directory) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let crc = reader.u32()?;
        Some(Self { names, runs, tombstones, blocks, words, ids, ids_at, length, directory, crc })
    }

    fn pages_at(&self) -> u64 {
        (HEAD as u64 + self.directory).next_multiple_of(PAGE)
    }

    fn fit(&self, length: u64) -> bool {
        self.pages_at() + self.length == length
    }

    fn parse(&self, bytes: &[u8]) -> Option<(Directory, Contents)> {
        let mut reader = Reader(bytes);
        let mut contents = Contents::default();
        for _ in 0..self.names {
            let number = reader.u32()?;
            let length = reader.u32()? as usize;
            contents.names.push((number, std::str::from_utf8(reader.bytes(length)?).ok()?.into()));
        }
        let mut place = 0;
        for _ in 0..self.runs {
            let (stream, first, count) = (reader.u32()?, reader.u64()?, reader.u32()?);
            contents.runs.push(StoredRun { stream, first, place, count });
            place += count;
        }
        for _ in 0..self.tombstones {
            contents.tombstones.push(reader.u32()?);
        }
        let mut blocks = Vec::with_capacity(self.blocks as usize);
        for _ in 0..self.blocks {
            blocks.push(Block { position: reader.u64()?, offset: reader.u32()?, left: reader.u32()? });
        }
        let words = (0..self.words).map(|_| reader.u64()).collect::<Option<Vec<_>>>()?;
        let pages = self.length.div_ceil(PAGE);
        let checksums = (0..pages).map(|_| reader.u32()).collect::<Option<Vec<_>>>()?;
        let directory = Directory {
            blocks,
            bloom: Bloom::from_words(words),
            pages_at: self.pages_at(),
            length: self.length,
            ids_at: self.ids_at,
            ids: self.ids,
            checksums,
        };
        reader.0.is_empty().then_some((directory, contents))
    }
}

impl Directory {
    fn pages_check(&self, file: &dyn File) -> io::Result<bool> {
        let (mut bytes, mut offset) = (Vec::new(), 0);
        while offset < self.length {
            bytes.resize((self.length - offset).min(CHUNK) as usize, 0);
            read_exact(file, &mut bytes, self.pages_at + offset)?;
            if !self.checks(&bytes, offset) {
                return Ok(false);
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Whether pages, from an offset on at which one begins, are as they were written.
    pub fn checks(&self, bytes: &[u8], offset: u64) -> bool {
        let expected = self.checksums.iter().skip((offset / PAGE) as usize);
        bytes.chunks(PAGE as usize).zip(expected).all(|(page, crc)| crc32fast::hash(page) == *crc)
    }
}
