use std::collections::VecDeque;

use crate::{Frame, Taken};

/// Events in order that were dealt and are not given out yet: of a partition, or of a consumer that lags behind.
#[derive(Debug)]
pub(crate) struct Queue<F> {
    parts: VecDeque<Taken<F>>,
    events: usize,
}

impl<F> Default for Queue<F> {
    fn default() -> Self {
        Self { parts: VecDeque::new(), events: 0 }
    }
}

impl<F: Frame> Queue<F> {
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    pub(crate) fn put(&mut self, part: Taken<F>) {
        if !part.events.is_empty() {
            self.events += part.events.len();
            self.parts.push_back(part);
        }
    }

    /// Adds the event of this number of the latest frame; false when it does not follow the one before.
    pub(crate) fn extend(&mut self, event: usize) -> bool {
        let follows = self.parts.back_mut().filter(|part| part.events.end == event);
        let Some(part) = follows else { return false };
        part.events.end += 1;
        self.events += 1;
        true
    }

    /// How many of the next events, `most` at most, may be taken as long as `affordable` says yes to each one's weight.
    pub(crate) fn affordable(&self, most: usize, mut affordable: impl FnMut(usize) -> bool) -> usize {
        let weights =
            self.parts.iter().flat_map(|part| part.events.clone().map(|at| part.frame.weight_of(at)));
        weights.take(most).take_while(|weight| affordable(*weight)).count()
    }

    /// Takes up to `most` of the oldest events.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Taken<F>> {
        let mut taken = Vec::new();
        let mut left = most.min(self.events);
        self.events -= left;
        while left > 0 {
            let Some(mut part) = self.parts.pop_front() else { break };
            if part.events.len() > left {
                let now = part.events.start..part.events.start + left;
                part.events.start = now.end;
                taken.push(Taken { frame: part.frame.clone(), events: now });
                self.parts.push_front(part);
                break;
            }
            left -= part.events.len();
            taken.push(part);
        }
        taken
    }
}
