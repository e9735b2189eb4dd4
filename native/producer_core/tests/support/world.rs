use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use producer_core::{
    Activity, Budget, Cost, Deal, Epoch, Happened, Limits, Portion, Producer, Rest, Settings, Taken,
};
use stage_core::{
    AnyDispatcher, BroadcastDispatcher, DemandDispatcher, Lag, Membership, PartitionDispatcher,
};

use super::{Kind, Numbers, PARTITIONS, partition_of};

const LIMITS: Limits = Limits { events: 60, bytes: 6000 };
const COST: Cost = Cost { event: 10, byte: 1, message: 5 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Own(u64),
    State(Epoch),
}

/// What is known of a consumer, naively.
struct Consumer {
    how: Membership,
    demand: u64,
    /// What it was given, or declined.
    given: Vec<u64>,
    /// What it has lagged behind, and what of that it is to be given before anything else.
    lagging: VecDeque<u64>,
    owed: VecDeque<u64>,
}

pub struct World {
    pub kind: Kind,
    producer: Producer<Numbers, u64, u64>,
    consumers: BTreeMap<u64, Consumer>,
    /// Declines every second event.
    decliner: u64,
    /// How many events there are.
    next: u64,
    /// The events in the order in which they were dealt; of each partition by themselves.
    dealt: Vec<u64>,
    given: Vec<Vec<u64>>,
    wanted_here: u64,
    marks: VecDeque<(u64, Mark)>,
    made: u64,
    told: Vec<u64>,
    notices: (u64, u64),
    epoch: u64,
    connected: bool,
    forward: bool,
    /// Messages that wake the owner and are on their way.
    messages: u32,
    source_waits: bool,
}

impl World {
    pub fn new(kind: Kind, rng: &mut Rng) -> Self {
        let dispatcher = match kind {
            Kind::Demand | Kind::Taken => AnyDispatcher::Demand(DemandDispatcher::default()),
            Kind::Broadcast => AnyDispatcher::Broadcast(BroadcastDispatcher::new()),
            Kind::Partition => AnyDispatcher::Partition(PartitionDispatcher::new(PARTITIONS as usize)),
        };
        let forward = rng.u32(0..5) > 0;
        let settings = Settings { limits: LIMITS, most: rng.usize(1..20), cost: COST, forward };
        Self {
            kind,
            producer: Producer::new(settings, dispatcher),
            consumers: BTreeMap::new(),
            decliner: 99,
            next: 0,
            dealt: Vec::new(),
            given: vec![Vec::new(); PARTITIONS as usize],
            wanted_here: 0,
            marks: VecDeque::new(),
            made: 0,
            told: Vec::new(),
            notices: (0, 0),
            epoch: 0,
            connected: false,
            forward,
            messages: 0,
            source_waits: false,
        }
    }

    // the source

    pub fn put(&mut self, n: u64) {
        if self.source_waits {
            return;
        }
        self.producer.put(Numbers(self.next..self.next + n));
        self.next += n;
        self.wake_if_due();
        self.source_waits = self.producer.wait_for_room();
    }

    pub fn mark(&mut self) {
        self.made += 1;
        let mark = self.made;
        self.marks.push_back((self.next, Mark::Own(mark)));
        self.producer.mark(mark);
        self.wake_if_due();
    }

    pub fn connect(&mut self) {
        self.epoch += 1;
        self.connected = true;
        self.producer.standing().taken(Epoch(self.epoch));
        self.producer.notice(self.notices.0);
        self.notices.0 += 1;
        self.wake_if_due();
    }

    pub fn drop_connection(&mut self) {
        self.connected = false;
        self.producer.standing().backing_off();
    }

    pub fn caught_up(&mut self) {
        self.marks.push_back((self.next, Mark::State(Epoch(self.epoch))));
        self.producer.mark_state(Epoch(self.epoch), Activity::Subscribed);
        self.wake_if_due();
    }

    fn wake_if_due(&mut self) {
        self.messages += u32::from(self.producer.wake_due());
    }

    // the owner

    pub fn subscribe(&mut self, key: u64, how: Membership) {
        if self.kind != Kind::Taken && self.producer.subscribe(key, how).is_ok() {
            let (given, lagging, owed) = (Vec::new(), VecDeque::new(), VecDeque::new());
            let known = self.consumers.insert(key, Consumer { how, demand: 0, given, lagging, owed });
            assert!(known.is_none());
        }
    }

    pub fn cancel(&mut self, key: u64) {
        self.producer.cancel(key);
        self.consumers.remove(&key);
        self.serve();
    }

    pub fn ask(&mut self, key: u64, n: u64) {
        if self.kind == Kind::Taken {
            self.wanted_here += n;
            self.producer.want(n);
            self.wake_if_due();
            return;
        } else if let Some(consumer) = self.consumers.get_mut(&key) {
            let served = consumer.lagging.len().min(n as usize);
            consumer.owed.extend(consumer.lagging.drain(..served));
            consumer.demand += n - served as u64;
            self.producer.ask(key, n);
        }
        self.serve();
    }

    pub fn wake(&mut self) {
        if self.messages > 0 {
            self.messages -= 1;
            self.producer.awake();
            self.serve();
        }
    }

    pub fn set_forward(&mut self, forward: bool) {
        self.forward = forward;
        self.producer.set_forward(forward);
        self.serve();
    }

    pub fn choose_decliner(&mut self, rng: &mut Rng) {
        self.decliner = rng.u64(0..6);
    }

    fn serve(&mut self) {
        match self.serve_with(Budget::ordinary(300)) {
            Rest::Wait => {}
            Rest::More => self.messages += 1,
            Rest::Large => match self.serve_with(Budget::dirty(3000)) {
                Rest::Wait => {}
                Rest::More => self.messages += 1,
                Rest::Large => panic!("a dirty call takes what comes first"),
            },
        }
    }

    fn serve_with(&mut self, mut budget: Budget) -> Rest {
        loop {
            while let Some(happened) = self.producer.happened() {
                self.tell(happened);
            }
            let rest = if self.kind == Kind::Taken { self.take(&mut budget) } else { self.deal(&mut budget) };
            self.room();
            if let Some(rest) = rest {
                return rest;
            }
        }
    }

    fn take(&mut self, budget: &mut Budget) -> Option<Rest> {
        match self.producer.take(budget) {
            Ok(taken) => {
                let events = numbers(&taken);
                self.wanted_here =
                    self.wanted_here.checked_sub(events.len() as u64).expect("what was wanted");
                self.dealt.extend(events);
                None
            }
            Err(rest) => Some(rest),
        }
    }

    fn deal(&mut self, budget: &mut Budget) -> Option<Rest> {
        match self.producer.deal(budget) {
            Ok(Deal::One(key, taken)) => self.one(key, &taken),
            Ok(Deal::Everyone(taken)) => self.everyone(&taken),
            Ok(Deal::Each(each)) => {
                for (key, taken) in each {
                    self.one(key, &taken);
                }
            }
            Err(rest) => return Some(rest),
        }
        None
    }

    fn one(&mut self, key: u64, taken: &[Taken<Numbers>]) {
        assert!(self.forward);
        let events = numbers(taken);
        assert!(!events.is_empty());
        let consumer = self.consumers.get_mut(&key).expect("a living consumer");
        match consumer.how {
            Membership::Broadcast(_) => {
                let owed: Vec<_> = consumer.owed.drain(..events.len()).collect();
                assert_eq!(events, owed);
                consumer.given.extend(events);
                return;
            }
            Membership::Demand => self.dealt.extend(&events),
            Membership::Partition(partition) => self.given[partition].extend(&events),
        }
        consumer.spend(&events);
        self.decline(key, &events);
    }

    fn decline(&mut self, key: u64, events: &[u64]) {
        let unwanted = if key == self.decliner { events.len() as u64 / 2 } else { 0 };
        self.consumers.get_mut(&key).expect("a living consumer").demand += unwanted;
        self.producer.decline(key, unwanted);
    }

    fn everyone(&mut self, taken: &[Taken<Numbers>]) {
        assert!(self.forward);
        let events = numbers(taken);
        self.dealt.extend(&events);
        let mut lost = Vec::new();
        for key in self.consumers.keys().copied().collect::<Vec<_>>() {
            let consumer = self.consumers.get_mut(&key).expect("a living consumer");
            let Membership::Broadcast(lag) = consumer.how else { panic!("a broadcast") };
            if lag == Lag::Block {
                consumer.spend(&events);
                self.decline(key, &events);
                continue;
            }
            assert!(consumer.owed.is_empty(), "what it is owed comes first");
            let wanted: Vec<_> = if key == self.decliner { halves(taken) } else { taken.to_vec() };
            let shared = self.producer.share(key, events.len() as u64, &wanted);
            if consumer.share(lag, &numbers(&wanted), shared) {
                lost.push(key);
            }
        }
        for key in lost {
            self.producer.cancel(key);
            self.consumers.remove(&key);
        }
    }

    fn tell(&mut self, happened: Happened<u64, u64>) {
        match happened {
            Happened::Notice(notice) => {
                assert_eq!(notice, self.notices.1);
                self.notices.1 += 1;
            }
            Happened::State(Activity::Subscribed) => {
                assert!(self.connected);
                let own = Mark::State(Epoch(self.epoch));
                self.reached(own);
            }
            Happened::State(other) => panic!("{other:?}"),
            Happened::Mark(mark) => {
                self.reached(Mark::Own(mark));
                self.told.push(mark);
            }
        }
    }

    /// States of connections that are gone are passed over.
    fn reached(&mut self, told: Mark) {
        loop {
            let (before, mark) = self.marks.pop_front().expect("a mark");
            assert!(self.is_emitted(before), "what was before it is still here");
            if mark == told {
                // a partition may go on while another has not got so far
                let goes_on = self.kind == Kind::Partition;
                assert!(goes_on || self.dealt.len() as u64 == before, "it was overtaken");
                return;
            }
            assert!(self.is_stale(mark), "{mark:?} was passed over");
        }
    }

    fn is_stale(&self, mark: Mark) -> bool {
        matches!(mark, Mark::State(epoch) if !self.connected || epoch != Epoch(self.epoch))
    }

    fn is_emitted(&self, before: u64) -> bool {
        if self.kind == Kind::Partition {
            let given: usize =
                self.given.iter().map(|given| given.iter().filter(|event| **event < before).count()).sum();
            given as u64 == before
        } else {
            self.dealt.len() as u64 >= before
        }
    }

    fn room(&mut self) {
        if self.producer.room_made() {
            assert!(self.source_waits, "it was told already");
            assert!(self.is_half_empty(), "it was told too early");
            self.source_waits = false;
        }
    }

    fn is_half_empty(&self) -> bool {
        self.producer.ready_events() <= LIMITS.events / 2 && self.producer.ready_bytes() <= LIMITS.bytes / 2
    }

    // the laws

    pub fn check(&self) {
        assert!(self.messages <= 1, "two messages wake the owner");
        assert!(!self.source_waits || !self.is_half_empty(), "the source waits for nothing");
        assert!(self.dealt.iter().copied().eq(0..self.dealt.len() as u64), "out of order");
        for (key, consumer) in &self.consumers {
            let lagging = matches!(consumer.how, Membership::Broadcast(lag) if lag != Lag::Block);
            assert!(lagging || self.producer.demand_of(*key) == consumer.demand, "demand is not what it was");
            assert!(consumer.given.is_sorted_by(|one, next| one < next), "out of order");
            let whole = consumer.given.windows(2).all(|pair| pair[1] == pair[0] + 1);
            let blocks = consumer.how == Membership::Broadcast(Lag::Block);
            assert!(!blocks || whole, "an event is missing");
        }
        for (partition, given) in self.given.iter().enumerate() {
            let all = (0..self.next).filter(|event| partition_of(*event) == partition as u64);
            assert!(given.iter().copied().eq(all.take(given.len())), "out of order");
        }
        assert!(self.kind != Kind::Taken || self.producer.demand() == self.wanted_here);
        let stuck = self.forward && self.producer.ready_events() > 0 && self.waits() > 0;
        assert!(!stuck || self.messages == 1, "stuck");
        let owed = self.forward && self.consumers.values().any(|consumer| !consumer.owed.is_empty());
        assert!(!owed || self.messages == 1, "what a consumer lagged behind is stuck");
        let mark_waits = self
            .marks
            .front()
            .is_some_and(|(before, mark)| self.is_emitted(*before) && !self.is_stale(*mark));
        // behind the queue of a partition it waits as long as that does
        let held = self.kind == Kind::Partition && !self.forward;
        assert!(!mark_waits || held || self.messages == 1, "a mark is stuck");
        assert!(self.notices.0 == self.notices.1 || self.messages == 1, "a notice is stuck");
    }

    /// How many events may go, by the naive count.
    fn waits(&self) -> u64 {
        match self.kind {
            Kind::Taken => self.wanted_here,
            Kind::Demand => self.consumers.values().map(|consumer| consumer.demand).sum(),
            Kind::Partition => self.producer.demand(),
            Kind::Broadcast => {
                let how = |blocks: bool| {
                    let all = self.consumers.values();
                    all.filter(move |consumer| blocks == (consumer.how == Membership::Broadcast(Lag::Block)))
                        .map(|consumer| consumer.demand)
                };
                how(true).min().or(how(false).max()).unwrap_or(0)
            }
        }
    }

    /// With all the demand that there can be, all comes out.
    pub fn finish(mut self) {
        self.source_waits = false;
        self.put(7);
        self.marks.push_back((self.next, Mark::Own(u64::MAX)));
        self.producer.stop(u64::MAX);
        self.producer.put(Numbers(0..1));
        self.wake_if_due();
        self.connected = false;
        self.set_forward(true);
        match self.kind {
            Kind::Demand => self.subscribe(9, Membership::Demand),
            Kind::Broadcast => self.subscribe(9, Membership::Broadcast(Lag::Block)),
            Kind::Partition => {
                for partition in 0..PARTITIONS {
                    self.subscribe(9 + partition, Membership::Partition(partition as usize));
                }
            }
            Kind::Taken => {}
        }
        for key in 0..9 + PARTITIONS {
            self.ask(key, 1_000_000);
            self.check_quietly();
        }
        while self.messages > 0 {
            self.wake();
            self.check();
        }
        assert_eq!(self.told.last(), Some(&u64::MAX), "the end was not told");
        assert_eq!(self.producer.ready_events() + self.producer.queued_events(), 0);
        assert_eq!(self.producer.state(), Activity::Stopped);
        let given: usize = self.given.iter().map(Vec::len).sum();
        assert_eq!(self.dealt.len() + given, self.next as usize);
    }

    fn check_quietly(&self) {
        assert!(self.messages <= 1, "two messages wake the owner");
    }
}

impl Consumer {
    fn spend(&mut self, events: &[u64]) {
        let n = events.len() as u64;
        assert!(n <= self.demand, "{n} events against a demand of {}", self.demand);
        self.demand -= n;
        self.given.extend(events);
    }

    /// Whether it is cancelled.
    fn share(&mut self, lag: Lag, wanted: &[u64], shared: Portion) -> bool {
        let n = wanted.len();
        let now = n.min(self.demand as usize);
        if now < n && lag == Lag::Cancel {
            assert_eq!(shared, Portion::Cancel);
            return true;
        }
        self.spend(&wanted[..now]);
        if now == n {
            assert_eq!(shared, Portion::All);
            return false;
        }
        self.lagging.extend(&wanted[now..]);
        let Lag::DropOldest(most) = lag else { panic!("{lag:?}") };
        let dropped = self.lagging.len().saturating_sub(most as usize);
        self.lagging.drain(..dropped);
        assert_eq!(shared, Portion::Part { now: now as u64, dropped: dropped as u64 });
        false
    }
}

fn numbers(taken: &[Taken<Numbers>]) -> Vec<u64> {
    taken.iter().flat_map(|part| part.events.clone().map(|at| part.frame.0.start + at as u64)).collect()
}

/// Every second event.
fn halves(taken: &[Taken<Numbers>]) -> Vec<Taken<Numbers>> {
    let one = |part: &Taken<Numbers>, at: usize| Taken { frame: part.frame.clone(), events: at..at + 1 };
    taken.iter().flat_map(|part| part.events.clone().step_by(2).map(move |at| one(part, at))).collect()
}
