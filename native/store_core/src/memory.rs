//! Storage that forgets everything when it goes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::page::{Direction, PageSize};
use crate::record::{Record, StreamNumber};
use crate::storage::{Show, Storage, StorageError};
use crate::units::LAST_REVISION;
use crate::write::{StreamRow, Write};

/// Records in memory.
#[derive(Default)]
pub struct Memory {
    log: Vec<Record>,
    streams: Vec<Vec<u32>>,
    ids: HashMap<(StreamNumber, u128), u64>,
}

impl Memory {
    fn places(&self, stream: StreamNumber) -> &[u32] {
        self.streams.get(stream as usize).map_or(&[], Vec::as_slice)
    }

    fn at(&self, place: u32) -> Option<&Record> {
        self.log.get(place as usize)
    }

    fn show<'a>(
        &self,
        places: impl Iterator<Item = &'a u32>,
        size: PageSize,
        show: Show<'_>,
    ) -> Result<(), StorageError> {
        let mut page = size.empty();
        for record in places.filter_map(|place| self.at(*place)) {
            if page.is_full() {
                break;
            }
            page.add(record.sent_length());
            show(record.view())?;
        }
        Ok(())
    }
}

impl Storage for Memory {
    fn keep(&mut self, change: Write) {
        for record in change.records {
            let stream = record.stream as usize;
            if self.streams.len() <= stream {
                self.streams.resize_with(stream + 1, Vec::new);
            }
            if record.revision != LAST_REVISION
                && let Some(places) = self.streams.get_mut(stream)
            {
                places.push(self.log.len() as u32);
                if let Entry::Vacant(entry) = self.ids.entry((record.stream, record.id)) {
                    entry.insert(record.revision);
                }
            }
            self.log.push(record);
        }
    }

    fn streams(&self) -> Result<(Vec<StreamRow>, u64), StorageError> {
        Ok((Vec::new(), 0))
    }

    fn event(&self, stream: StreamNumber, revision: u64) -> Result<Option<Record>, StorageError> {
        let place = self.places(stream).get(usize::try_from(revision).unwrap_or(usize::MAX));
        Ok(place.and_then(|place| self.at(*place)).cloned())
    }

    fn show_stream(
        &self,
        stream: StreamNumber,
        from: u64,
        direction: Direction,
        size: PageSize,
        show: Show<'_>,
    ) -> Result<(), StorageError> {
        let places = self.places(stream);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        match direction {
            Direction::Forwards => self.show(places.get(from..).unwrap_or_default().iter(), size, show),
            Direction::Backwards => self.show(places.get(..=from).unwrap_or(places).iter().rev(), size, show),
        }
    }

    fn log_page(&self, from: u64, direction: Direction, size: PageSize) -> Result<Vec<Record>, StorageError> {
        let middle = self.log.partition_point(|record| record.position < from);
        match direction {
            Direction::Forwards => size.take(self.log.iter().skip(middle).cloned().map(Ok)),
            Direction::Backwards => size.take(self.log.iter().take(middle).rev().cloned().map(Ok)),
        }
    }

    fn revision_of(&self, stream: StreamNumber, id: u128) -> Result<Option<u64>, StorageError> {
        Ok(self.ids.get(&(stream, id)).copied())
    }
}
