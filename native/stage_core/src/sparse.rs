/// Values by number, as far as there are any: a far number takes no room for those before it.
///
/// They stand in blocks, so that none is ever moved and no addition takes long.
#[derive(Debug)]
pub struct Sparse<T> {
    blocks: Vec<Option<Block<T>>>,
    count: usize,
}

/// Those that stand together.
type Block<T> = Box<[Option<Box<T>>]>;

/// How many these are.
const BLOCK: usize = 1024;

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), count: 0 }
    }
}

impl<T> Sparse<T> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The one of this number.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.blocks.get(at / BLOCK)?.as_deref()?.get(at % BLOCK)?.as_deref()
    }

    /// The one of this number, to change it.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.blocks.get_mut(at / BLOCK)?.as_deref_mut()?.get_mut(at % BLOCK)?.as_deref_mut()
    }

    /// The one of this number, which is made if there is none.
    pub fn get_or_insert_with(&mut self, at: usize, make: impl FnOnce() -> T) -> Option<&mut T> {
        if at / BLOCK >= self.blocks.len() {
            self.blocks.resize_with(at / BLOCK + 1, || None);
        }
        let block = self.blocks.get_mut(at / BLOCK)?;
        let block = block.get_or_insert_with(|| std::iter::repeat_with(|| None).take(BLOCK).collect());
        let place = block.get_mut(at % BLOCK)?;
        self.count += usize::from(place.is_none());
        Some(place.get_or_insert_with(|| Box::new(make())))
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Sparse};

    #[test]
    fn what_was_put_at_a_number_is_there_and_nowhere_else() {
        let mut sparse = Sparse::default();
        let places = [0, 1, BLOCK - 1, BLOCK, 10_000_000];
        for at in places {
            assert_eq!(sparse.get(at), None);
            assert_eq!(sparse.get_or_insert_with(at, || at), Some(&mut at.clone()));
            // what is there stays
            assert_eq!(sparse.get_or_insert_with(at, || 7), Some(&mut at.clone()));
        }
        assert_eq!(sparse.count(), places.len());
        assert!(places.iter().all(|at| sparse.get(*at) == Some(at)));
        assert_eq!(sparse.get(2), None);
        assert_eq!(sparse.get_mut(BLOCK + 1), None);
        assert_eq!(sparse.get_mut(BLOCK).copied(), Some(BLOCK));
    }
}
