use std::collections::{BTreeMap, VecDeque};

use stage_core::{AnyDispatcher, Credited, DispatcherError, Membership};

use crate::queue::Queue;
use crate::{Activity, Cost, Epoch, Frame, Limits, ReadyQueue, Standing};

/// The number of a consumer.
pub type Key = u64;

/// How a producer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How much may wait before the source is asked to wait.
    pub limits: Limits,
    /// The most events of one delivery.
    pub most: usize,
    /// What giving out events costs.
    pub cost: Cost,
    /// Whether demand is met, or only kept.
    pub forward: bool,
}

/// Between events: what is true once all before it have been given out.
#[derive(Debug)]
pub(crate) enum Mark<M> {
    State(Epoch, Activity),
    Own(M),
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened<M, N> {
    /// It is true whatever has been given out.
    Notice(N),
    /// All events before have been given out, and this is what it is doing now.
    State(Activity),
    /// All events before have been given out.
    Mark(M),
}

/// What a producer has let go of, to be dropped where that may take its time.
#[derive(Debug)]
pub struct Remains<F, M> {
    ready: Option<ReadyQueue<F, Mark<M>>>,
    queues: BTreeMap<u64, Queue<F>>,
}

impl<F: Frame, M> Remains<F, M> {
    /// How many events they are.
    pub fn events(&self) -> usize {
        let ready = self.ready.as_ref().map_or(0, ReadyQueue::events);
        self.queues.values().map(Queue::events).sum::<usize>().saturating_add(ready)
    }
}

/// So many notices are kept for an owner who takes none, as a process that is suspended: the latest.
const NOTICES: usize = 64;

/// A producer of events that come from a source which can be asked to wait, with the dispatcher that says whose they are.
///
/// Its source brings events, marks between them, and notices; whoever gives out what there is takes
/// [`happened`](Self::happened) and [`deal`](Self::deal), or [`take`](Self::take), in turn until the latter says what is
/// next. Whoever brings or changes something asks [`wake_due`](Self::wake_due) afterwards, and sends what wakes the other
/// when that is so.
#[derive(Debug)]
pub struct Producer<F, M, N> {
    pub(crate) ready: ReadyQueue<F, Mark<M>>,
    pub(crate) dispatcher: AnyDispatcher<Key>,
    pub(crate) settings: Settings,
    /// How many consumers there are.
    pub(crate) consumers: usize,
    /// How many events the owner wants itself.
    pub(crate) wanted_here: u64,
    /// Events that were dealt: of partitions by their number, or of consumers that lag behind a broadcast by theirs.
    pub(crate) queues: BTreeMap<u64, Queue<F>>,
    /// Which of these may be given out, as far as demand goes; of one that lags so many events.
    pub(crate) due: BTreeMap<u64, u64>,
    /// Marks behind events in the queues of partitions, and marks that these have let pass.
    pub(crate) behind: VecDeque<Mark<M>>,
    pub(crate) passed: VecDeque<Mark<M>>,
    pub(crate) standing: Standing,
    pub(crate) notices: VecDeque<N>,
    /// Nothing more is taken from the source.
    pub(crate) closed: bool,
    /// An event could not be given out: nothing after it may be.
    pub(crate) halted: bool,
    /// What wakes the owner is on its way.
    pub(crate) woken: bool,
    /// The source waits for room.
    pub(crate) full: bool,
    /// There is room again, and the source does not know yet.
    pub(crate) room: bool,
}

impl<F: Frame, M, N> Producer<F, M, N> {
    /// One without events and consumers.
    pub fn new(settings: Settings, dispatcher: AnyDispatcher<Key>) -> Self {
        Self {
            ready: ReadyQueue::new(settings.limits),
            dispatcher,
            settings,
            consumers: 0,
            wanted_here: 0,
            queues: BTreeMap::new(),
            due: BTreeMap::new(),
            behind: VecDeque::new(),
            passed: VecDeque::new(),
            standing: Standing::default(),
            notices: VecDeque::new(),
            closed: false,
            halted: false,
            woken: false,
            full: false,
            room: false,
        }
    }

    /// Takes a batch, whether or not there is room.
    pub fn put(&mut self, frame: F) {
        if !self.closed {
            self.ready.put(frame);
        }
    }

    /// What it is doing once all before has been given out, if its connection still stands then.
    pub fn mark_state(&mut self, epoch: Epoch, state: Activity) {
        if !self.closed {
            self.ready.mark(Mark::State(epoch, state));
        }
    }

    /// Puts a mark behind all that has come.
    pub fn mark(&mut self, mark: M) {
        if !self.closed {
            self.ready.mark(Mark::Own(mark));
        }
    }

    /// The same; where the last thing that has come is a mark that is `outdated` by this one, in its place.
    pub fn mark_instead(&mut self, mark: M, outdated: impl Fn(&M) -> bool) {
        if !self.closed {
            let outdated = |last: &Mark<M>| matches!(last, Mark::Own(last) if outdated(last));
            self.ready.mark_instead(Mark::Own(mark), outdated);
        }
    }

    /// Puts a last mark, after which nothing is taken from the source.
    pub fn stop(&mut self, mark: M) {
        self.mark(mark);
        self.standing.stopped();
        self.closed = true;
    }

    /// Something to tell at once.
    pub fn notice(&mut self, notice: N) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// The connection, which changes at once. A mark of an older one says nothing of the one that stands.
    pub fn standing(&mut self) -> &mut Standing {
        &mut self.standing
    }

    /// Whether nothing more is taken from the source.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What it is doing.
    pub fn state(&self) -> Activity {
        self.standing.state()
    }

    /// Whether the source is to wait until [`room_made`](Self::room_made) says otherwise.
    pub fn wait_for_room(&mut self) -> bool {
        self.full = self.ready.is_full();
        self.full
    }

    /// Whether the source, which waits, is to be told that there is room: once, when half of it is free.
    pub fn room_made(&mut self) -> bool {
        std::mem::take(&mut self.room)
    }

    /// Whether what wakes the owner is to be sent: there is something to do, and none is on its way.
    pub fn wake_due(&mut self) -> bool {
        let due = !self.woken && self.has_work();
        self.woken |= due;
        due
    }

    /// What wakes the owner has come: what happens from now on has to send another.
    pub fn awake(&mut self) {
        self.woken = false;
    }

    /// For an owner who goes on later, by what wakes it: whether that is to be sent, or is on its way already.
    pub fn once_more(&mut self) -> bool {
        !std::mem::replace(&mut self.woken, true)
    }

    /// Whether there is something to tell or to deal.
    pub fn has_work(&self) -> bool {
        let told = !self.notices.is_empty() || !self.passed.is_empty() || self.ready.is_at_mark();
        let dealt = self.goes_on()
            && (!self.due.is_empty()
                || (self.ready.events() > 0 && (self.wanted_here > 0 || self.dispatcher.demand() > 0)));
        told || dealt
    }

    /// Whether demand is met.
    pub(crate) fn goes_on(&self) -> bool {
        self.settings.forward && !self.halted
    }

    /// Adds a consumer, who waits for nothing yet.
    pub fn subscribe(&mut self, key: Key, membership: Membership) -> Result<(), DispatcherError> {
        self.dispatcher.subscribe(key, membership)?;
        self.consumers += 1;
        Ok(())
    }

    /// Removes a consumer; what it lagged behind goes with it. Others may be served then who could not be before.
    pub fn cancel(&mut self, key: Key) -> Remains<F, M> {
        let mut remains = Remains { ready: None, queues: BTreeMap::new() };
        if self.dispatcher.cancel(&key).is_some() {
            self.consumers = self.consumers.saturating_sub(1);
            // the queue of a partition goes to its next consumer
            if matches!(self.dispatcher, AnyDispatcher::Broadcast(_)) {
                self.due.remove(&key);
                remains.queues.extend(self.queues.remove(&key).map(|queue| (key, queue)));
            }
        }
        remains
    }

    /// Adds demand; the largest ask that is expected comes back when this one was larger.
    pub fn ask(&mut self, key: Key, n: u64) -> Option<u64> {
        // An ask that a cancellation has overtaken is of no consequence.
        match self.dispatcher.credit(&key, n).unwrap_or(Credited::Plain) {
            Credited::Plain => None,
            Credited::Exceeded(most) => Some(most),
            Credited::Queued(partition) => {
                self.due.entry(partition as u64).or_default();
                None
            }
            Credited::Lagged(n) => {
                *self.due.entry(key).or_default() += n;
                None
            }
        }
    }

    /// Notes that a consumer did not want `n` of the events that it was dealt: it waits for as many others.
    pub fn decline(&mut self, key: Key, n: u64) {
        if n > 0 {
            self.ask(key, n);
        }
    }

    /// Whether demand is met from now on, or only kept.
    pub fn set_forward(&mut self, forward: bool) {
        self.settings.forward = forward;
    }

    /// How many events are waited for and may come.
    pub fn demand(&self) -> u64 {
        self.dispatcher.demand().saturating_add(self.wanted_here)
    }

    /// How many events one consumer waits for.
    pub fn demand_of(&self, key: Key) -> u64 {
        self.dispatcher.demand_of(&key).unwrap_or(0)
    }

    /// Who holds a partition, if these are `limit` or more; nobody otherwise, and where there are no partitions.
    pub fn holders(&mut self, partition: usize, limit: usize) -> Vec<Key> {
        let partitions = self.dispatcher.partitions().ok();
        partitions.and_then(|partitions| partitions.holders(partition, limit)).unwrap_or_default()
    }

    /// How many events have come and were not dealt.
    pub fn ready_events(&self) -> usize {
        self.ready.events()
    }

    /// How many bytes they are.
    pub fn ready_bytes(&self) -> usize {
        self.ready.bytes()
    }

    /// How many events were dealt and wait in a queue.
    pub fn queued_events(&self) -> usize {
        self.queues.values().map(Queue::events).sum()
    }

    /// Gives nothing out any more, as an event could not be given in its place.
    pub fn halt(&mut self) -> Remains<F, M> {
        self.halted = true;
        self.closed = true;
        self.standing.stopped();
        self.clear()
    }

    /// Lets go of all events.
    pub fn clear(&mut self) -> Remains<F, M> {
        let empty = ReadyQueue::new(self.settings.limits);
        self.due.clear();
        self.behind.clear();
        self.passed.clear();
        let ready = Some(std::mem::replace(&mut self.ready, empty));
        Remains { ready, queues: std::mem::take(&mut self.queues) }
    }
}
