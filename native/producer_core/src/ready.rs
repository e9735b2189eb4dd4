use std::collections::VecDeque;
use std::ops::Range;

/// A batch of events that is handed out piece by piece.
pub trait Frame: Clone {
    /// How many events it has.
    fn events(&self) -> usize;
    /// How many bytes one of them has.
    fn bytes_of(&self, event: usize) -> usize;
    /// How many bytes it is reckoned for in a [`Cost`](crate::Cost).
    fn weight_of(&self, event: usize) -> usize {
        self.bytes_of(event)
    }
    /// The number that tells its partition: the remainder by how many there are.
    fn hash_of(&self, event: usize) -> u64;
}

/// How much may wait here before the source is asked to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

#[derive(Debug)]
enum Item<F, M> {
    Events { frame: F, next: usize },
    Mark(M),
}

/// Events to be handed out, consecutive in their stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken<F> {
    /// Where they are.
    pub frame: F,
    /// Which they are.
    pub events: Range<usize>,
}

/// Events, and between them marks, each of which counts once all before it has been taken.
///
/// Who fills it stops when a limit is reached (a batch may go beyond it) and goes on when half of it has been taken, so
/// that neither side wakes the other for every event.
#[derive(Debug)]
pub struct ReadyQueue<F, M> {
    items: VecDeque<Item<F, M>>,
    limits: Limits,
    events: usize,
    bytes: usize,
}

impl<F: Frame, M> ReadyQueue<F, M> {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Self { items: VecDeque::new(), limits, events: 0, bytes: 0 }
    }

    /// How many events wait.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many bytes they are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no more should be put in.
    pub fn is_full(&self) -> bool {
        self.events >= self.limits.events || self.bytes >= self.limits.bytes
    }

    /// Whether one that was full should be filled again.
    pub fn is_half_empty(&self) -> bool {
        self.events <= self.limits.events / 2 && self.bytes <= self.limits.bytes / 2
    }

    /// Adds a batch.
    pub fn put(&mut self, frame: F) {
        self.events += frame.events();
        self.bytes += (0..frame.events()).map(|event| frame.bytes_of(event)).sum::<usize>();
        self.items.push_back(Item::Events { frame, next: 0 });
    }

    /// Adds a mark behind all events.
    pub fn mark(&mut self, mark: M) {
        self.items.push_back(Item::Mark(mark));
    }

    /// The same, in place of the mark that is the last thing here if that one is `outdated`.
    pub fn mark_instead(&mut self, mark: M, outdated: impl FnOnce(&M) -> bool) {
        match self.items.back_mut() {
            Some(Item::Mark(last)) if outdated(last) => *last = mark,
            _ => self.mark(mark),
        }
    }

    /// The next mark, if all events before it have been taken.
    pub fn reached(&mut self) -> Option<M> {
        match self.items.pop_front() {
            Some(Item::Mark(mark)) => Some(mark),
            Some(item) => {
                self.items.push_front(item);
                None
            }
            None => None,
        }
    }

    /// Whether the next thing is a mark.
    pub fn is_at_mark(&self) -> bool {
        matches!(self.items.front(), Some(Item::Mark(_)))
    }

    /// How many of the next events, `most` at most, may be taken as long as `affordable` says yes to each one's weight.
    pub fn affordable(&self, most: usize, mut affordable: impl FnMut(usize) -> bool) -> usize {
        let mut count = 0;
        for item in &self.items {
            let Item::Events { frame, next } = item else { break };
            for event in *next..frame.events() {
                if count == most || !affordable(frame.weight_of(event)) {
                    return count;
                }
                count += 1;
            }
        }
        count
    }

    /// Takes up to `most` of the next events.
    pub fn take(&mut self, most: usize) -> Vec<Taken<F>> {
        let mut taken = Vec::new();
        let mut left = most;
        while left > 0 {
            let Some(Item::Events { frame, next }) = self.items.front_mut() else { break };
            let events = *next..frame.events().min(next.saturating_add(left));
            left -= events.len();
            self.events -= events.len();
            self.bytes -= events.clone().map(|event| frame.bytes_of(event)).sum::<usize>();
            *next = events.end;
            let whole = *next == frame.events();
            taken.push(Taken { frame: frame.clone(), events });
            if whole {
                self.items.pop_front();
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Frame for Vec<usize> {
        fn events(&self) -> usize {
            self.len()
        }

        fn bytes_of(&self, event: usize) -> usize {
            self[event]
        }

        fn hash_of(&self, event: usize) -> u64 {
            event as u64
        }
    }

    const LIMITS: Limits = Limits { events: 4, bytes: 100 };

    #[test]
    fn it_is_full_by_events_or_by_bytes_and_opens_again_at_half() {
        let mut queue = ReadyQueue::<Vec<usize>, ()>::new(LIMITS);
        queue.put(vec![1, 1, 1]);
        assert!(!queue.is_full());
        queue.put(vec![97]);
        assert!(queue.is_full() && !queue.is_half_empty());
        queue.take(3);
        assert!(!queue.is_half_empty());
        queue.take(1);
        assert!(queue.is_half_empty());
        assert_eq!((queue.events(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_mark_is_reached_when_all_before_it_was_taken() {
        let mut queue = ReadyQueue::new(LIMITS);
        queue.put(vec![1, 1]);
        queue.mark("caught up");
        queue.put(vec![1]);
        assert_eq!(queue.reached(), None);
        queue.take(1);
        assert_eq!(queue.reached(), None);
        assert_eq!(queue.take(9), [Taken { frame: vec![1, 1], events: 1..2 }]);
        assert!(queue.is_at_mark());
        assert_eq!(queue.reached(), Some("caught up"));
        assert_eq!(queue.take(9), [Taken { frame: vec![1], events: 0..1 }]);
    }

    #[test]
    fn a_mark_takes_the_place_of_an_outdated_one_only_where_nothing_is_between() {
        let mut queue = ReadyQueue::<Vec<usize>, u8>::new(LIMITS);
        let mark = |queue: &mut ReadyQueue<_, _>, mark| queue.mark_instead(mark, |last| *last > 1);
        mark(&mut queue, 1);
        mark(&mut queue, 2);
        mark(&mut queue, 3);
        queue.put(vec![1]);
        mark(&mut queue, 4);
        assert_eq!([queue.reached(), queue.reached(), queue.reached()], [Some(1), Some(3), None]);
        queue.take(1);
        assert_eq!(queue.reached(), Some(4));
    }

    #[test]
    fn only_what_can_be_afforded_is_counted() {
        let mut queue = ReadyQueue::<_, ()>::new(LIMITS);
        queue.put(vec![10]);
        queue.put(vec![20, 90, 10]);
        assert_eq!(queue.affordable(9, |bytes| bytes < 50), 2);
        assert_eq!(queue.affordable(1, |bytes| bytes < 50), 1);
        assert_eq!(queue.affordable(9, |_| true), 4);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_once_and_in_order(
            batches in proptest::collection::vec(proptest::collection::vec(0_usize..50, 1..6), 0..10),
            takes in proptest::collection::vec(1_usize..9, 0..100),
        ) {
            let mut queue = ReadyQueue::<Vec<usize>, ()>::new(LIMITS);
            for batch in &batches {
                queue.put(batch.clone());
            }
            let mut out = Vec::new();
            for most in takes.into_iter().chain(std::iter::repeat(3)) {
                let taken = queue.take(most);
                if taken.is_empty() {
                    break;
                }
                prop_assert!(taken.iter().map(|taken| taken.events.len()).sum::<usize>() <= most);
                out.extend(taken.into_iter().flat_map(|taken| taken.frame[taken.events].to_vec()));
            }
            prop_assert_eq!(out, batches.concat());
            prop_assert_eq!((queue.events(), queue.bytes()), (0, 0));
        }
    }
}
