use crate::{Batch, Buffer, Deals, Dispatcher, Part, Stored};

/// What leaves a producer next.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery<T, E, M> {
    /// Events, and whom they are for.
    Events(T, E),
    /// A mark whose turn has come.
    Mark(M),
}

/// After how many claims in a row that the source met at once it is expected to meet the next one too.
const PROMPT: u8 = 8;

/// The outgoing side of a producer: a dispatcher and, before it, the buffer.
///
/// Whoever owns it keeps one rule: after whatever may add to its dispatcher's demand, and after
/// every new batch, take [`next`](Self::next) until it is empty. Then nothing is buffered while anybody waits, nothing
/// overtakes, and [`claim`](Self::claim) asks the source only for what the buffer did not have.
#[derive(Debug)]
pub struct Output<D, B, M> {
    dispatcher: D,
    buffer: Buffer<B, M>,
    /// The latest claim, until anything has been brought.
    unmet: u64,
    /// How many claims in a row the source has met at once, all of each.
    met: u8,
}

impl<D: Dispatcher, B: Batch, M> Output<D, B, M> {
    /// An output of these two.
    pub fn new(dispatcher: D, buffer: Buffer<B, M>) -> Self {
        Self { dispatcher, buffer, unmet: 0, met: 0 }
    }

    /// What to ask the source for now.
    pub fn claim(&mut self) -> u64 {
        self.unmet = self.dispatcher.claim();
        self.unmet
    }

    /// [`claim`](Self::claim) from a source that has been prompt so far, and the deal of what it will bring. Whoever
    /// gets other than that from it [takes it back](Self::take_back) at once. `None` when that cannot be known; then
    /// nothing is claimed.
    pub fn deal_ahead(&mut self) -> Option<(D::To, u64)> {
        if self.met < PROMPT || !self.buffer.is_empty() {
            return None;
        }
        self.dispatcher.deal_ahead()
    }

    /// Undoes [`deal_ahead`](Self::deal_ahead), but for the claim. What the source has brought instead is emitted
    /// then, as ever.
    pub fn take_back(&mut self, to: D::To, n: u64) {
        self.met = 0;
        self.dispatcher.take_back(to, n);
    }

    /// What comes from the buffer next, at most `most` events of it, to whom; `take` removes them from
    /// their batch as in [`Buffer::pop`].
    pub fn next<E>(
        &mut self,
        most: u64,
        take: impl FnOnce(&mut B, u64) -> E,
    ) -> Option<Delivery<D::To, E, M>> {
        let Some(first) = self.buffer.first() else {
            return match self.buffer.pop(0, take)? {
                Part::Mark(mark) => Some(Delivery::Mark(mark)),
                Part::Events(_) => None,
            };
        };
        let (to, n) = self.dispatcher.deal_one(first.count().min(most))?;
        match self.buffer.pop(n, take)? {
            Part::Events(events) => Some(Delivery::Events(to, events)),
            Part::Mark(mark) => Some(Delivery::Mark(mark)),
        }
    }

    /// Notes that the source has brought `n` events and gives them away; the deals in order, until the
    /// demand is used up. What is left over is to be stored.
    pub fn emit(&mut self, n: u64) -> Deals<'_, D> {
        let meets = n > 0 && n == self.unmet;
        self.met = if meets { self.met.saturating_add(1) } else { 0 };
        self.unmet = 0;
        self.dispatcher.arrived(n);
        let available = if self.buffer.is_empty() { n } else { 0 };
        self.dispatcher.deal(available)
    }

    /// Goes on with an [`emit`](Self::emit) of which `n` events are left, before anything else happens.
    pub fn emit_on(&mut self, n: u64) -> Deals<'_, D> {
        self.dispatcher.deal(n)
    }

    /// Stores events that nobody waits for.
    pub fn store(&mut self, batch: B) -> Stored<M> {
        self.buffer.store(batch)
    }

    /// Puts a mark behind what is buffered, or gives it back.
    pub fn mark(&mut self, mark: M) -> Option<M> {
        self.buffer.mark(mark)
    }

    /// The dispatcher.
    pub fn dispatcher(&self) -> &D {
        &self.dispatcher
    }

    /// The dispatcher, to subscribe, to ask and to cancel.
    pub fn dispatcher_mut(&mut self) -> &mut D {
        &mut self.dispatcher
    }

    /// The buffer.
    pub fn buffer(&self) -> &Buffer<B, M> {
        &self.buffer
    }

    /// The buffer, to grow its last batch.
    pub fn buffer_mut(&mut self) -> &mut Buffer<B, M> {
        &mut self.buffer
    }
}
