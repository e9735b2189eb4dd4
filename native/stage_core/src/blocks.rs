/// A list in blocks: it grows by one after another, so none of its items is ever moved for that and no addition takes
/// long, however many there are.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<T> {
    /// The first ones, which are found without a detour: most lists have no others.
    first: Vec<T>,
    rest: Vec<Vec<T>>,
    len: usize,
}

/// How many items stand together.
const BLOCK: usize = 1024;

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { first: Vec::new(), rest: Vec::new(), len: 0 }
    }
}

impl<T> Blocks<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.first.first()
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut T> {
        self.first.first_mut()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        match at.checked_sub(BLOCK) {
            None => self.first.get(at),
            Some(at) => self.rest.get(at / BLOCK)?.get(at % BLOCK),
        }
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match at.checked_sub(BLOCK) {
            None => self.first.get_mut(at),
            Some(at) => self.rest.get_mut(at / BLOCK)?.get_mut(at % BLOCK),
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.len.checked_sub(BLOCK) {
            None => self.first.push(item),
            Some(at) => {
                if at / BLOCK == self.rest.len() {
                    self.rest.push(Vec::with_capacity(BLOCK));
                }
                if let Some(block) = self.rest.get_mut(at / BLOCK) {
                    block.push(item);
                }
            }
        }
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = match self.rest.last_mut() {
            Some(block) => block.pop(),
            None => self.first.pop(),
        }?;
        self.len -= 1;
        if self.rest.last().is_some_and(Vec::is_empty) {
            self.rest.pop();
        }
        Some(last)
    }

    /// Takes one out; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, at: usize) -> Option<T> {
        let last = self.pop()?;
        match self.get_mut(at) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => Some(last),
        }
    }

    pub(crate) fn swap(&mut self, one: usize, other: usize)
    where
        T: Copy,
    {
        if one.max(other) < self.first.len() {
            return self.first.swap(one, other);
        }
        if let (Some(first), Some(second)) = (self.get(one).copied(), self.get(other).copied()) {
            if let Some(place) = self.get_mut(one) {
                *place = second;
            }
            if let Some(place) = self.get_mut(other) {
                *place = first;
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Blocks};

    #[test]
    fn it_is_a_list_beyond_its_first_block_and_back() {
        let mut blocks = Blocks::default();
        let mut list = Vec::new();
        for item in 0..3 * BLOCK + 1 {
            blocks.push(item);
            list.push(item);
        }
        blocks.swap(0, 2 * BLOCK);
        list.swap(0, 2 * BLOCK);
        for at in [7, BLOCK, 2 * BLOCK, 3 * BLOCK - 3, 0] {
            assert_eq!(blocks.swap_remove(at), Some(list.swap_remove(at)));
            assert_eq!(blocks.get(at), list.get(at));
            assert_eq!(blocks.len(), list.len());
        }
        assert_eq!(blocks.first(), list.first());
        assert!(blocks.iter().eq(&list));
        while let Some(item) = list.pop() {
            assert_eq!(blocks.get_mut(list.len()).copied(), Some(item));
            assert_eq!(blocks.pop(), Some(item));
        }
        assert_eq!((blocks.pop(), blocks.is_empty(), blocks.first_mut()), (None, true, None));
        blocks.push(1);
        assert_eq!(blocks.get(0), Some(&1));
    }
}
