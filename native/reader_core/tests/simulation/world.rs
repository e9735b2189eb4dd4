//! The machine, the model of a server, and what lies between them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use fastrand::Rng;
use reader_core::{
    Answer, Backoff, Beyond, Cause, Counts, Effect, Epoch, Failure, Input, OnBeyond, Position, Reader,
    Report, Settings, State, Target, Verdict,
};

use crate::laws::{Laws, key};
use crate::model::{Record, Server};
use crate::road::{Connection, Happening, Wanted};
use crate::target::target;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a run may go on when nothing goes wrong any more.
const REST: Duration = Duration::from_secs(120);

/// How often something was seen: a test in which it never happens says nothing of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub emitted: u64,
    pub checkpoints: u64,
    pub located: u64,
    pub beyond: u64,
    pub stopped: u64,
}

pub struct World {
    pub random: Rng,
    pub now: Duration,
    pub happenings: BTreeMap<(Duration, u64), Happening>,
    pub happened: u64,
    pub server: Server,
    pub connections: BTreeMap<Epoch, Connection>,
    pub reader: Reader,
    pub target: Target,
    pub on_beyond: OnBeyond,
    pub laws: Laws,
    pub is_peace: bool,
    /// The attempt that the machine is on, whether its call was made, and whether it has heard of it.
    pub epoch: Option<Epoch>,
    pub has_call: bool,
    pub has_heard: bool,
    /// Whether something after the position has come by it.
    pub has_read: bool,
    /// What the search of this attempt was answered, and whether nobody may read the metadata.
    pub found: Option<Option<Position>>,
    pub deleted: Option<Answer>,
    pub beyond: Option<Beyond>,
    /// The machine was told what is final.
    pub is_refused: bool,
    /// It was told a position that is none.
    pub is_impossible: bool,
    pub is_stopped: bool,
    pub seen: Seen,
    /// Whether it tells what happens.
    pub is_traced: bool,
}

impl World {
    pub fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut server = Server::new();
        let mut records = Vec::new();
        for _ in 0..random.usize(0..40) {
            let stream = random.u8(0..3);
            records.extend(server.append(stream, &mut random));
        }
        if random.u8(0..4) == 0 {
            server.truncate(&mut random);
        }
        let target = target(&server, &mut random);
        let on_beyond = if random.u8(0..5) == 0 { OnBeyond::Stop } else { OnBeyond::Wait };
        let mut laws = Laws::new(&target);
        records.into_iter().for_each(|record| laws.appended(record));
        laws.forgive(&server);
        let settings =
            Settings { target: target.clone(), on_beyond, backoff: Backoff::default(), patience: PATIENCE };
        let reader = Reader::new(settings, random.u64(..));
        let mut world = Self {
            random,
            now: Duration::ZERO,
            happenings: BTreeMap::new(),
            happened: 0,
            server,
            connections: BTreeMap::new(),
            reader,
            target,
            on_beyond,
            laws,
            is_peace: false,
            epoch: None,
            has_call: false,
            has_heard: false,
            has_read: false,
            found: None,
            deleted: None,
            beyond: None,
            is_refused: false,
            is_impossible: false,
            is_stopped: false,
            seen: Seen::default(),
            is_traced,
        };
        let troubles = world.random.u64(5..60);
        let mut at = Duration::ZERO;
        for _ in 0..troubles {
            at += Duration::from_millis(world.random.u64(0..1000));
            world.plan(at, Happening::Trouble);
        }
        world.plan(at + Duration::from_millis(1), Happening::Peace);
        world
    }

    pub fn counts(&self) -> Counts {
        self.reader.counts()
    }

    pub fn run(&mut self) {
        let mut rest = None;
        loop {
            if self.is_peace {
                // the connection of then is cut
                let (end, former) = *rest.get_or_insert((self.now + REST, self.reader.epoch()));
                let settled = self.reader.epoch() > former
                    && self.has_heard
                    && self.reader.state() == State::Subscribed
                    && self.laws.is_settled()
                    && self.reader.poll_timeout().is_none();
                if self.is_stopped && self.happenings.is_empty() || settled || self.now > end {
                    break;
                }
            }
            self.step();
            self.check_that_something_is_waited_for();
        }
        self.check_the_end();
    }

    pub fn plan(&mut self, at: Duration, happening: Happening) {
        self.happened += 1;
        self.happenings.insert((at, self.happened), happening);
    }

    fn step(&mut self) {
        let due = self.reader.poll_timeout().map(|until| until.max(self.now));
        let next = self.happenings.first_key_value().map(|((at, _), _)| *at);
        match (due, next) {
            (Some(due), next) if next.is_none_or(|next| due < next) => {
                self.now = due;
                self.tell(Input::Tick);
            }
            (_, Some(_)) => {
                let Some(((at, _), happening)) = self.happenings.pop_first() else { return };
                self.now = at;
                self.trace(&happening);
                self.happen(happening);
            }
            (_, None) => panic!("nothing will ever happen"),
        }
    }

    fn trace(&self, what: &impl Debug) {
        if self.is_traced {
            println!("{:?} {what:?}", self.now);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Trouble => self.trouble(),
            Happening::Peace => {
                self.is_peace = true;
                self.cut_all();
            }
            Happening::Accept(epoch, target) => self.accept(epoch, target),
            Happening::Search(epoch, wanted) => self.search(epoch, wanted),
            Happening::Pull(epoch) => self.pull(epoch),
            Happening::Event(epoch, record) => self.event(epoch, record),
            Happening::Answer(epoch, answer, age) => self.answer(epoch, answer, age),
        }
    }

    fn event(&mut self, epoch: Epoch, record: Record) {
        let verdict = self.reader.event(epoch, record.place);
        let is_wanted = self.epoch == Some(epoch) && self.has_call && !self.is_stopped;
        assert_eq!(verdict == Verdict::Late, !is_wanted, "{verdict:?} of {record:?}");
        match verdict {
            Verdict::Emit => {
                self.seen.emitted += 1;
                self.laws.emitted(record);
                self.beyond = None;
                (self.has_heard, self.has_read) = (true, true);
            }
            Verdict::Stale => {
                let at = if matches!(self.target, Target::All { .. }) {
                    key(Position::Log(record.place.log))
                } else {
                    key(Position::Revision(record.place.revision))
                };
                assert!(self.laws.floor.is_some_and(|floor| at <= floor), "dropped: {record:?}");
            }
            Verdict::Late => {}
            Verdict::Impossible => {
                assert_eq!(record.id, 0, "{record:?} is possible");
                self.is_impossible = true;
                let effects = self.reader.impossible(epoch, record.place);
                self.carry_out(effects, record.age);
                assert!(self.is_stopped, "it goes on after what it cannot resume from");
            }
        }
    }

    fn answer(&mut self, epoch: Epoch, answer: Answer, age: u64) {
        let is_current = self.epoch == Some(epoch) && !self.is_stopped;
        let late = self.reader.counts().late;
        if is_current {
            match answer {
                Answer::Found(found) => self.found = self.found.or(Some(found)),
                Answer::Deleted(_) | Answer::NotFound(_) => self.deleted = Some(answer),
                Answer::Confirmed => self.has_heard = true,
                Answer::CaughtUp | Answer::FellBehind | Answer::Checkpoint(_) => self.has_heard = true,
                Answer::Ended(Failure::Final) => self.is_refused = true,
                Answer::Connected | Answer::Unknown | Answer::Ended(Failure::Passing | Failure::Moved) => {}
            }
            self.is_refused |= answer == Answer::NotFound(Failure::Final) && !self.has_call;
        }
        let effects = self.reader.handle(Input::Answer(epoch, answer), self.now);
        if !is_current {
            assert!(effects.is_empty(), "{answer:?} of {epoch:?} had effects: {effects:?}");
            assert_eq!(self.reader.counts().late, late + 1);
        }
        self.carry_out(effects, age);
        if is_current && answer == Answer::Ended(Failure::Final) {
            assert!(self.is_stopped, "it goes on after what is final");
        }
    }

    fn tell(&mut self, input: Input) {
        let effects = self.reader.handle(input, self.now);
        self.carry_out(effects, self.server.age);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, age: u64) {
        for effect in effects {
            self.trace(&effect);
            assert!(!self.is_stopped, "it is over, and wants {effect:?}");
            match effect {
                Effect::Connect(epoch) => self.connect(epoch),
                Effect::FindEnd(epoch) => {
                    assert!(!self.has_read, "there was something to read, and it looks for the end");
                    self.ask(epoch, |epoch| Happening::Search(epoch, Wanted::End));
                }
                Effect::FindDeletion(epoch) => {
                    self.ask(epoch, |epoch| Happening::Search(epoch, Wanted::Deletion));
                }
                Effect::GiveUp(epoch) => assert_eq!(Some(epoch), self.epoch),
                Effect::Subscribe(epoch, target) => {
                    self.laws.resumed(&target);
                    self.ask(epoch, |epoch| Happening::Accept(epoch, target));
                    self.has_call = true;
                    self.has_heard = false;
                }
                Effect::Close(epoch) => {
                    assert_eq!(Some(epoch), self.epoch);
                    self.epoch = None;
                    self.has_call = false;
                    // what was sent before is still on its way
                    self.cut(epoch);
                }
                Effect::Report(report) => self.report(report, age),
            }
        }
    }

    fn connect(&mut self, epoch: Epoch) {
        assert!(self.epoch.is_none(), "two connections at once");
        assert!(self.connections.keys().all(|former| *former < epoch), "an epoch that was there");
        self.epoch = Some(epoch);
        (self.found, self.deleted) = (None, None);
        (self.has_call, self.has_heard, self.has_read) = (false, false, false);
        self.connections.insert(epoch, Connection { call: None, is_cut: false, arrival: self.now });
        if self.is_lucky() {
            self.send(epoch, Answer::Connected);
        } else if self.random.bool() {
            self.send(epoch, Answer::Ended(Failure::Passing));
            self.cut(epoch);
        }
    }

    fn ask(&mut self, epoch: Epoch, request: impl FnOnce(Epoch) -> Happening) {
        assert_eq!(Some(epoch), self.epoch, "asked by a connection that is gone");
        let at = self.now + self.delay();
        self.plan(at, request(epoch));
    }

    fn report(&mut self, report: Report<Cause>, age: u64) {
        match report {
            Report::Connecting => {}
            Report::Located(end) => {
                assert_eq!(Some(end), self.found, "not where the server said");
                self.laws.located(end);
                self.seen.located += 1;
            }
            Report::Taken { epoch, after } => {
                assert_eq!(Some(epoch), self.epoch);
                assert_eq!(after, self.reader.last());
            }
            Report::State(epoch, _) => assert_eq!(Some(epoch), self.epoch),
            Report::Checkpoint(epoch, position) => {
                assert_eq!(Some(epoch), self.epoch);
                self.laws.checkpoint(position, age);
                self.seen.checkpoints += 1;
                self.has_read = true;
                self.beyond = None;
            }
            Report::Beyond(beyond) => {
                self.check_beyond(beyond);
                self.seen.beyond += u64::from(beyond.is_some());
                self.beyond = beyond;
            }
            Report::Dropped { wait, .. } => {
                assert!(!wait.is_zero() && wait <= Backoff::default().most, "a wait of {wait:?}");
                assert_eq!(self.reader.poll_timeout(), Some(self.now + wait));
            }
            Report::Stopped(cause) => {
                let is_right = match cause {
                    Cause::Failure => self.is_refused,
                    Cause::BeyondEnd(_) => self.on_beyond == OnBeyond::Stop,
                    Cause::Impossible(_) => self.is_impossible,
                    Cause::NotConnected | Cause::NotLocated | Cause::NotConfirmed => false,
                };
                assert!(is_right, "stopped by {cause:?}");
                self.is_stopped = true;
                self.seen.stopped += 1;
            }
        }
    }
}
