use std::collections::VecDeque;

/// A queue in blocks: it grows by one after another, so none of its items is ever moved for that and no addition takes
/// long, however many there are.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    /// The oldest ones.
    front: VecDeque<T>,
    /// Full ones behind it, but for the last.
    rest: VecDeque<VecDeque<T>>,
}

/// How many items stand together.
const BLOCK: usize = 1024;

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { front: VecDeque::new(), rest: VecDeque::new() }
    }
}

impl<T> Chunked<T> {
    pub(crate) fn len(&self) -> usize {
        let behind = self.rest.back().map_or(0, |last| (self.rest.len() - 1) * BLOCK + last.len());
        self.front.len() + behind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.front.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.front.front_mut()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.rest.back().unwrap_or(&self.front).back()
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.rest.back_mut().unwrap_or(&mut self.front).back_mut()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match at.checked_sub(self.front.len()) {
            None => self.front.get_mut(at),
            Some(at) => self.rest.get_mut(at / BLOCK)?.get_mut(at % BLOCK),
        }
    }

    pub(crate) fn push_back(&mut self, item: T) {
        match self.rest.back_mut() {
            Some(last) if last.len() < BLOCK => last.push_back(item),
            None if self.front.len() < BLOCK => self.front.push_back(item),
            _ => {
                let mut block = VecDeque::with_capacity(BLOCK);
                block.push_back(item);
                self.rest.push_back(block);
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.front.pop_front();
        if self.front.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.front = next;
        }
        first
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        let Some(block) = self.rest.back_mut() else { return self.front.pop_back() };
        let last = block.pop_back();
        if block.is_empty() {
            self.rest.pop_back();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{BLOCK, Chunked};

    #[test]
    fn it_is_a_queue_beyond_its_first_block_and_back() {
        let (mut chunked, mut queue) = (Chunked::default(), VecDeque::new());
        for round in 0..4 {
            for item in 0..2 * BLOCK + round {
                chunked.push_back(item);
                queue.push_back(item);
            }
            for _ in 0..BLOCK + 7 {
                assert_eq!(chunked.pop_front(), queue.pop_front());
                assert_eq!(chunked.front(), queue.front());
                assert_eq!(chunked.len(), queue.len());
            }
            for _ in 0..BLOCK / 2 {
                assert_eq!(chunked.pop_back(), queue.pop_back());
                assert_eq!(chunked.back(), queue.back());
                assert_eq!(chunked.back_mut(), queue.back_mut());
            }
            for at in [0, 1, BLOCK - 1, BLOCK, queue.len() - 1, queue.len()] {
                assert_eq!(chunked.get_mut(at), queue.get_mut(at));
            }
        }
        while let Some(item) = queue.pop_front() {
            assert_eq!(chunked.front_mut().copied(), Some(item));
            assert_eq!(chunked.pop_front(), Some(item));
        }
        assert_eq!((chunked.pop_front(), chunked.pop_back(), chunked.len()), (None, None, 0));
        assert!(chunked.is_empty());
        chunked.push_back(1);
        assert_eq!(chunked.back(), Some(&1));
    }
}
