//! The buffer against a model that keeps one event an entry.

use std::collections::VecDeque;

use proptest::prelude::*;
use stage_core::{Buffer, Keep, Part};

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Event(u32),
    Mark(u32),
}

struct Model {
    items: VecDeque<Item>,
    limit: Option<usize>,
    keep: Keep,
}

impl Model {
    fn events(&self) -> usize {
        self.items.iter().filter(|item| matches!(item, Item::Event(_))).count()
    }

    /// What had to leave at the front, and how many new ones were refused.
    fn store(&mut self, events: &[u32]) -> (Vec<Item>, u64) {
        let (mut out, mut refused) = (Vec::new(), 0);
        for event in events {
            let full = self.limit.is_some_and(|limit| self.events() >= limit);
            if full && self.keep == Keep::First {
                refused += 1;
                continue;
            }
            self.items.push_back(Item::Event(*event));
            if full {
                let oldest = self.items.iter().position(|item| matches!(item, Item::Event(_)));
                if let Some(at) = oldest {
                    out.extend(self.items.drain(..=at));
                }
                while matches!(self.items.front(), Some(Item::Mark(_))) {
                    out.extend(self.items.pop_front());
                }
            }
        }
        (out, refused)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Store(u8),
    Extend(u8),
    Mark,
    Pop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12u8).prop_map(Step::Store),
        (0..5u8).prop_map(Step::Extend),
        Just(Step::Mark),
        (0..12u8).prop_map(Step::Pop),
    ]
}

fn limits() -> impl Strategy<Value = (Option<u64>, Keep)> {
    (proptest::option::weighted(0.8, 0..20u64), prop_oneof![Just(Keep::First), Just(Keep::Last)])
}

fn front(batch: &mut VecDeque<u32>, n: u64) -> Vec<u32> {
    batch.drain(..n as usize).collect()
}

proptest! {
    #[test]
    fn every_step_agrees_with_the_naive_model(
        (limit, keep) in limits(), steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut buffer: Buffer<VecDeque<u32>, u32> = Buffer::new(limit, keep);
        let mut model = Model { items: VecDeque::new(), limit: limit.map(|limit| limit as usize), keep };
        let mut next = 0;
        let mut fresh = |n: u64| -> Vec<u32> { (0..n).map(|_| { next += 1; next }).collect() };
        for step in steps {
            match step {
                Step::Store(n) => {
                    let events = fresh(n.into());
                    let (out, refused) = model.store(&events);
                    let stored = buffer.store(events.into());
                    prop_assert_eq!(stored.refused, refused);
                    let excess = out.iter().filter(|item| matches!(item, Item::Event(_))).count() as u64 + refused;
                    prop_assert_eq!(stored.excess(), excess);
                    let released: Vec<_> = stored.released.into_iter().map(Item::Mark).collect();
                    let marks: Vec<_> = out.into_iter().filter(|item| matches!(item, Item::Mark(_))).collect();
                    prop_assert_eq!(released, marks);
                }
                Step::Extend(n) => {
                    let events = fresh(u64::from(n).min(buffer.room()));
                    let given = events.clone();
                    let open = buffer.last().is_some();
                    let stored = buffer.extend_last(|last| last.extend(events));
                    prop_assert_eq!(stored.is_some(), open);
                    if let Some(stored) = stored {
                        let (out, _) = model.store(&given);
                        let events = out.iter().filter(|item| matches!(item, Item::Event(_))).count();
                        prop_assert_eq!(stored.evicted, events as u64);
                    }
                }
                Step::Mark => {
                    let mark = fresh(1)[0];
                    let empty = model.items.is_empty();
                    prop_assert_eq!(buffer.mark(mark), empty.then_some(mark));
                    if !empty {
                        model.items.push_back(Item::Mark(mark));
                    }
                }
                Step::Pop(most) => match buffer.pop(most.into(), front) {
                    None => prop_assert!(most == 0 || model.items.is_empty()),
                    Some(Part::Mark(mark)) => {
                        prop_assert_eq!(model.items.pop_front(), Some(Item::Mark(mark)))
                    }
                    Some(Part::Events(events)) => {
                        prop_assert!(!events.is_empty() && events.len() <= most.into());
                        for event in events {
                            prop_assert_eq!(model.items.pop_front(), Some(Item::Event(event)));
                        }
                    }
                },
            }
            prop_assert_eq!(buffer.count(), model.events() as u64);
            prop_assert_eq!(buffer.is_empty(), model.items.is_empty());
            prop_assert!(limit.is_none_or(|limit| buffer.count() <= limit));
        }
    }
}

#[test]
fn a_buffer_without_room_discards_everything_and_holds_no_mark_back() {
    for keep in [Keep::First, Keep::Last] {
        let mut buffer: Buffer<u64, ()> = Buffer::new(Some(0), keep);
        assert_eq!(buffer.store(5).excess(), 5);
        assert_eq!(buffer.mark(()), Some(()));
    }
}

#[test]
fn a_counted_batch_splits_like_one_of_events() {
    let mut buffer: Buffer<u64, char> = Buffer::new(None, Keep::Last);
    buffer.store(5);
    let take = |batch: &mut u64, n| {
        *batch -= n;
        n
    };
    buffer.mark('m');
    buffer.store(2);
    assert_eq!(buffer.pop(3, take), Some(Part::Events(3)));
    assert_eq!(buffer.pop(9, take), Some(Part::Events(2)));
    assert_eq!(buffer.pop(0, take), Some(Part::Mark('m')));
    assert_eq!(buffer.pop(1, take), Some(Part::Events(1)));
    assert_eq!(buffer.count(), 1);
}
