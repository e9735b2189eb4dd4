//! Reading all events in the order of the log, by their positions.

use store_core::{PageSize, Record, StorageError};

use super::{Log, until_none};
use crate::index::Block;
use crate::window::{MANY, SINGLE, Walk};

impl Log {
    /// The segment and block in which a position is, or would be.
    fn block(&self, position: u64) -> (usize, usize) {
        let segment = match self.active.head.position <= position {
            true => self.sealed.len(),
            false => self.sealed.partition_point(|sealed| sealed.head.position <= position).saturating_sub(1),
        };
        let before =
            self.with_blocks(segment, |blocks| blocks.partition_point(|block| block.position <= position));
        (segment, before.saturating_sub(1))
    }

    fn with_blocks<T>(&self, segment: usize, look: impl FnOnce(&[Block]) -> T) -> T {
        match self.sealed.get(segment) {
            Some(sealed) => look(sealed.lookup().blocks()),
            None => look(&self.active.index.blocks),
        }
    }

    fn walk(&self, segment: usize, block: Block) -> Walk<'_> {
        Walk::new(self.window(segment), self.salt(segment), u64::from(block.offset), block.left)
    }

    pub(super) fn log_forwards(
        &self,
        from: u64,
        size: PageSize,
    ) -> impl Iterator<Item = Result<Record, StorageError>> + '_ {
        let (mut segment, block) = self.block(from);
        let first = self.with_blocks(segment, |blocks| blocks.get(block).copied());
        let mut walk = first.map(|block| self.walk(segment, block));
        let ahead = if size.events == 1 { SINGLE } else { MANY };
        let step = move || -> Result<Option<Record>, StorageError> {
            loop {
                if let Some(walk) = &mut walk
                    && let Some(event) = walk.next(ahead)?
                {
                    if event.head.position < from {
                        continue;
                    }
                    return self.record(&walk.window, &event).map(Some);
                }
                if segment >= self.sealed.len() {
                    return Ok(None);
                }
                segment += 1;
                let first = self.with_blocks(segment, |blocks| blocks.first().copied());
                walk = first.map(|block| self.walk(segment, block));
            }
        };
        until_none(step)
    }

    pub(super) fn log_backwards(&self, from: u64) -> impl Iterator<Item = Result<Record, StorageError>> + '_ {
        let mut next = Some(self.block(from));
        let mut held: Vec<Record> = Vec::new();
        let step = move || -> Result<Option<Record>, StorageError> {
            loop {
                if let Some(record) = held.pop() {
                    return Ok(Some(record));
                }
                let Some((segment, block)) = next else { return Ok(None) };
                let (this, following) = self.with_blocks(segment, |blocks| {
                    (blocks.get(block).copied(), blocks.get(block + 1).copied())
                });
                if let Some(this) = this {
                    let mut walk = self.walk(segment, this);
                    while following.is_none_or(|following| walk.offset() < u64::from(following.offset)) {
                        let Some(event) = walk.next(MANY)?.filter(|event| event.head.position < from) else {
                            break;
                        };
                        held.push(self.record(&walk.window, &event)?);
                    }
                }
                next = match (block.checked_sub(1), segment.checked_sub(1)) {
                    (Some(block), _) => Some((segment, block)),
                    (None, Some(segment)) => {
                        Some((segment, self.with_blocks(segment, |blocks| blocks.len().saturating_sub(1))))
                    }
                    (None, None) => None,
                };
            }
        };
        until_none(step)
    }
}
