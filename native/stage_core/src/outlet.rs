use crate::{Batch, Buffer, Deals, Dispatcher, Part, Stored};

/// What leaves a producer next.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery<T, E, M> {
    /// Events, and whom they are for.
    Events(T, E),
    /// A mark whose turn has come.
    Mark(M),
}

/// The outgoing side of a producer: a dispatcher and, before it, the buffer.
///
/// Whoever owns it keeps one rule: after whatever may add to its dispatcher's demand, and after
/// every new batch, take [`next`](Self::next) until it is empty. Then nothing is buffered while anybody waits, nothing
/// overtakes, and [`claim`](Self::claim) asks the source only for what the buffer did not have.
#[derive(Debug)]
pub struct Outlet<D, B, M> {
    dispatcher: D,
    buffer: Buffer<B, M>,
}

impl<D: Dispatcher, B: Batch, M> Outlet<D, B, M> {
    /// An outlet of these two.
    pub fn new(dispatcher: D, buffer: Buffer<B, M>) -> Self {
        Self { dispatcher, buffer }
    }

    /// What to ask the source for now.
    pub fn claim(&mut self) -> u64 {
        self.dispatcher.claim()
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
        self.dispatcher.arrived(n);
        let available = if self.buffer.is_empty() { n } else { 0 };
        self.dispatcher.deal(available)
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
