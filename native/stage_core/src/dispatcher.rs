/// What an output needs of a dispatcher: how many events may leave, for whom, and what that asks of the source.
///
/// Every dispatcher keeps two sums apart: what its subscribers still wait for, and what the source was asked
/// for and has not brought yet. The buffer stands between the two.
pub trait Dispatcher {
    /// Whom a deal is for.
    type To;

    /// How many events to ask the source for now, on top of what it owes already.
    fn claim(&mut self) -> u64;

    /// Notes that the source has brought `n` events, asked for or not.
    fn arrived(&mut self, n: u64);

    /// Gives away up to `available` events: the next ones, for whom, and how many.
    fn deal_one(&mut self, available: u64) -> Option<(Self::To, u64)>;

    /// [`claim`](Self::claim), [`arrived`](Self::arrived) and [`deal_one`](Self::deal_one) in one, before the source
    /// has brought anything: for whom it is to bring how many events. `None`, and nothing is changed, when the source
    /// owes events already or what it brings would not be a single deal.
    fn deal_ahead(&mut self) -> Option<(Self::To, u64)> {
        None
    }

    /// Undoes the latest [`deal_ahead`](Self::deal_ahead), for a source that has not brought just that; nothing must
    /// have happened in between. What is left of it is the claim.
    fn take_back(&mut self, _to: Self::To, _n: u64) {}

    /// Gives away up to `available` events; the next ones to each that comes out, in order.
    /// What the iterator is not asked for is not given.
    fn deal(&mut self, available: u64) -> Deals<'_, Self>
    where
        Self: Sized,
    {
        Deals { dispatcher: self, available }
    }
}

/// The deals of [`Dispatcher::deal`]: for whom and how many, until events or demand run out.
#[derive(Debug)]
pub struct Deals<'a, D> {
    dispatcher: &'a mut D,
    available: u64,
}

impl<D: Dispatcher> Iterator for Deals<'_, D> {
    type Item = (D::To, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let (to, n) = self.dispatcher.deal_one(self.available)?;
        self.available = self.available.saturating_sub(n);
        Some((to, n))
    }
}

/// What the source is owed to be asked for; it never goes beyond what subscribers wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claimed(u64);

impl Claimed {
    pub(crate) fn claim(&mut self, demand: u64) -> u64 {
        let more = demand.saturating_sub(self.0);
        self.0 += more;
        more
    }

    pub(crate) fn arrived(&mut self, n: u64) {
        self.0 = self.0.saturating_sub(n);
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}
