use std::collections::BTreeMap;

use crate::blocks::Blocks;

/// Keys by rank, the highest first: each is found, moved and removed in logarithmic time, and with a few it costs no
/// more than a list of them.
///
/// A binary heap of ranks that knows where each key's rank is. Equal ranks are in no order; who needs one makes
/// them differ.
#[derive(Debug, Clone)]
pub(crate) struct Ranked<K, R> {
    heap: Blocks<(R, usize)>,
    /// By number: the key, and where in the heap its rank is.
    slots: Blocks<(K, usize)>,
    /// The numbers of the keys; empty while these are so few that they are looked through.
    numbers: BTreeMap<K, usize>,
}

/// Up to this many keys are looked through.
const FEW: usize = 16;

impl<K, R> Default for Ranked<K, R> {
    fn default() -> Self {
        Self { heap: Blocks::default(), slots: Blocks::default(), numbers: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, R: Copy + Ord> Ranked<K, R> {
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.slots.iter().map(|(key, _)| *key)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.number(key).is_some()
    }

    fn number(&self, key: &K) -> Option<usize> {
        if self.numbers.is_empty() {
            self.slots.iter().position(|(other, _)| other == key)
        } else {
            self.numbers.get(key).copied()
        }
    }

    /// The highest.
    pub(crate) fn first(&self) -> Option<(K, R)> {
        let (rank, number) = self.heap.first()?;
        Some((self.slots.get(*number)?.0, *rank))
    }

    pub(crate) fn rank(&self, key: &K) -> Option<R> {
        self.heap.get(self.place(key)?).map(|(rank, _)| *rank)
    }

    /// False when the key is there already.
    pub(crate) fn insert(&mut self, key: K, rank: R) -> bool {
        if self.contains(&key) {
            return false;
        }
        let (place, number) = (self.heap.len(), self.slots.len());
        self.slots.push((key, place));
        if !self.numbers.is_empty() {
            self.numbers.insert(key, number);
        } else if self.slots.len() > FEW {
            self.numbers = self.slots.iter().enumerate().map(|(number, (key, _))| (*key, number)).collect();
        }
        self.heap.push((rank, number));
        self.raise(place);
        true
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<R> {
        let number = self.number(key)?;
        self.numbers.remove(key);
        let (_, place) = *self.slots.get(number)?;
        let (rank, _) = self.heap.swap_remove(place)?;
        self.moved(place);
        // The last slot takes the number that has come free.
        self.slots.swap_remove(number);
        if let Some((key, place)) = self.slots.get(number).copied() {
            if !self.numbers.is_empty() {
                self.numbers.insert(key, number);
            }
            if let Some(entry) = self.heap.get_mut(place) {
                entry.1 = number;
            }
        }
        if self.slots.len() < FEW / 2 {
            self.numbers.clear();
        }
        self.settle(place);
        Some(rank)
    }

    /// False when the key is not there.
    pub(crate) fn set(&mut self, key: &K, rank: R) -> bool {
        let Some(place) = self.place(key) else { return false };
        if let Some(entry) = self.heap.get_mut(place) {
            entry.0 = rank;
        }
        self.settle(place);
        true
    }

    /// As [`set`](Self::set) for the highest, which is at hand.
    pub(crate) fn set_first(&mut self, rank: R) {
        if let Some(entry) = self.heap.first_mut() {
            entry.0 = rank;
        }
        self.lower(0);
    }

    fn place(&self, key: &K) -> Option<usize> {
        self.slots.get(self.number(key)?).map(|(_, place)| *place)
    }

    fn at(&self, place: usize) -> Option<R> {
        self.heap.get(place).map(|(rank, _)| *rank)
    }

    /// Notes where an entry is now.
    fn moved(&mut self, place: usize) {
        if let Some((_, number)) = self.heap.get(place)
            && let Some(slot) = self.slots.get_mut(*number)
        {
            slot.1 = place;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.moved(one);
        self.moved(other);
    }

    fn settle(&mut self, place: usize) {
        if !self.raise(place) {
            self.lower(place);
        }
    }

    /// Whether it has moved.
    fn raise(&mut self, mut place: usize) -> bool {
        let from = place;
        while place > 0 {
            let above = (place - 1) / 2;
            if self.at(place) <= self.at(above) {
                break;
            }
            self.swap(place, above);
            place = above;
        }
        place != from
    }

    fn lower(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            // Where there is none, `None` is below every rank.
            let below = if self.at(right) > self.at(left) { right } else { left };
            if self.at(below) <= self.at(place) {
                return;
            }
            self.swap(place, below);
            place = below;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Ranked;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u32),
        Remove(u8),
        Set(u8, u32),
        SetFirst(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..40u8, 0..50u32).prop_map(|(key, rank)| Step::Insert(key, rank)),
            1 => (0..40u8).prop_map(Step::Remove),
            1 => (0..40u8, 0..50u32).prop_map(|(key, rank)| Step::Set(key, rank)),
            1 => (0..50u32).prop_map(Step::SetFirst),
        ]
    }

    proptest! {
        #[test]
        fn every_step_agrees_with_a_map(steps in proptest::collection::vec(step(), 0..300)) {
            let mut ranked = Ranked::default();
            let mut map: BTreeMap<u8, u32> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, rank) => {
                        prop_assert_eq!(ranked.insert(key, rank), !map.contains_key(&key));
                        map.entry(key).or_insert(rank);
                    }
                    Step::Remove(key) => prop_assert_eq!(ranked.remove(&key), map.remove(&key)),
                    Step::Set(key, rank) => {
                        prop_assert_eq!(ranked.set(&key, rank), map.contains_key(&key));
                        map.entry(key).and_modify(|at| *at = rank);
                    }
                    Step::SetFirst(rank) => {
                        if let Some((key, _)) = ranked.first() {
                            map.insert(key, rank);
                        }
                        ranked.set_first(rank);
                    }
                }
                prop_assert_eq!(ranked.len(), map.len());
                prop_assert_eq!(ranked.first().map(|(_, rank)| rank), map.values().max().copied());
                if let Some((key, rank)) = ranked.first() {
                    prop_assert_eq!(map.get(&key), Some(&rank));
                }
                for key in 0..40 {
                    prop_assert_eq!(ranked.rank(&key), map.get(&key).copied());
                }
            }
        }
    }
}
