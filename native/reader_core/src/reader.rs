//! One subscription through all its connections.

use std::time::Duration;

use fastrand::Rng;

use crate::Epoch;
use crate::messages::{Answer, Beyond, Cause, Counts, Effect, Failure, Input, Report, State, Verdict};
use crate::phase::{End, Phase, Search};
use crate::position::{LogPosition, Place, Point, Position};
use crate::settings::{OnBeyond, Settings};
use crate::target::Start;

/// The machine. It is driven by whoever owns the connection: carry out the effects in their order, tell what answers
/// them, and [`Input::Tick`] when the time of [`Reader::poll_timeout`] has come.
#[derive(Debug)]
pub struct Reader {
    settings: Settings,
    chance: Rng,
    on_log: bool,
    start: Start<Point>,
    phase: Phase,
    state: State,
    epoch: Epoch,
    /// The epoch whose call may deliver events.
    open: Epoch,
    last: Option<Point>,
    end: End,
    failures: u32,
    confirmed_at: Option<Duration>,
    confirmations: u64,
    counts: Counts,
}

impl Reader {
    /// A subscription that has not connected yet: its first tick is due at once. Waits are shortened by chance, which
    /// the seed decides.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let start = settings.target.start();
        Self {
            on_log: settings.target.is_log(),
            settings,
            chance: Rng::with_seed(seed),
            start,
            phase: Phase::New,
            state: State::Connecting,
            epoch: Epoch::NONE,
            open: Epoch::NEVER,
            last: if let Start::After(point) = start { Some(point) } else { None },
            end: End::Passed,
            failures: 0,
            confirmed_at: None,
            confirmations: 0,
            counts: Counts::default(),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// The position of the last event passed on, restored, or looked at by a filter.
    pub fn last(&self) -> Option<Position> {
        self.last.map(|last| last.position(self.on_log))
    }

    /// Which attempt it is on; none before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it has counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many attempts have failed since the last connection that was healthy.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next [`Input::Tick`] is due; `None`: it waits for an answer, or is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.phase.until()
    }

    /// An event came by the call of this epoch.
    #[inline]
    pub fn event(&mut self, epoch: Epoch, place: Place) -> Verdict {
        if epoch != self.open && !self.opened_by_event(epoch) {
            return Verdict::Late;
        }
        let at = if self.on_log { Point::of_log(place.log) } else { Point::of_revision(place.revision) };
        if self.last.is_some_and(|last| at <= last) {
            self.counts.stale += 1;
            return Verdict::Stale;
        }
        if !at.is_possible() {
            return Verdict::Impossible;
        }
        self.last = Some(at);
        self.end = End::Passed;
        Verdict::Emit
    }

    /// An event is as good as the confirmation that should have come before it: there is a subscription.
    #[cold]
    fn opened_by_event(&mut self, epoch: Epoch) -> bool {
        let opens = epoch == self.epoch && matches!(self.phase, Phase::Subscribing { .. });
        if opens {
            self.become_open();
        } else {
            self.counts.late += 1;
        }
        opens
    }

    /// What follows from [`Verdict::Impossible`]: events after it could not be resumed from.
    pub fn impossible(&mut self, epoch: Epoch, place: Place) -> Vec<Effect> {
        let mut effects = Vec::new();
        if epoch == self.open {
            let position =
                if self.on_log { Position::Log(place.log) } else { Position::Revision(place.revision) };
            self.stop(Cause::Impossible(position), &mut effects);
        }
        effects
    }

    /// Something happened at this time, which never goes back.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Tick => self.tick(now, &mut effects),
            Input::Answer(epoch, answer) if epoch == self.epoch => self.answer(answer, now, &mut effects),
            Input::Answer(..) => self.counts.late += 1,
        }
        effects
    }

    fn tick(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.poll_timeout().is_none_or(|until| now < until) {
            return;
        }
        match self.phase {
            Phase::New | Phase::BackingOff { .. } => self.connect(now, effects),
            Phase::Connecting { .. } => self.drop_out(Cause::NotConnected, false, now, effects),
            Phase::Locating { .. } => self.drop_out(Cause::NotLocated, false, now, effects),
            Phase::Subscribing { .. } => self.drop_out(Cause::NotConfirmed, false, now, effects),
            Phase::Open(Search::End { .. } | Search::Deletion { .. }) => {
                effects.push(Effect::GiveUp(self.epoch));
                self.search_is_over();
            }
            Phase::Open(Search::NotYet | Search::Over) | Phase::Stopped => {}
        }
    }

    fn connect(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.epoch = self.epoch.next();
        self.state = State::Connecting;
        self.phase = Phase::Connecting { until: self.patient(now) };
        effects.extend([Effect::Report(Report::Connecting), Effect::Connect(self.epoch)]);
    }

    fn answer(&mut self, answer: Answer, now: Duration, effects: &mut Vec<Effect>) {
        let is_subscribed = matches!(self.phase, Phase::Subscribing { .. } | Phase::Open(_));
        let has_connection = is_subscribed || matches!(self.phase, Phase::Locating { .. });
        match (self.phase, answer) {
            (Phase::Connecting { .. }, Answer::Connected) => self.connected(now, effects),
            (Phase::Connecting { .. }, Answer::Ended(failure)) => self.ended(failure, now, effects),
            (_, Answer::Ended(failure)) if has_connection => self.ended(failure, now, effects),
            (Phase::Locating { .. }, Answer::Found(end)) => self.located(end, now, effects),
            (Phase::Locating { .. }, Answer::NotFound(failure)) => self.ended(failure, now, effects),
            (Phase::Open(Search::End { .. }), Answer::Found(end)) => self.found(end, now, effects),
            (Phase::Open(Search::End { .. }), Answer::NotFound(_)) => self.search_is_over(),
            // metadata that nobody may read says nothing; then the stream counts as missing
            (Phase::Open(Search::Deletion { .. }), Answer::NotFound(Failure::Final)) => {
                self.end_seen(None, effects);
            }
            (Phase::Open(Search::Deletion { .. }), Answer::NotFound(_)) => self.search_is_over(),
            (Phase::Open(Search::Deletion { .. }), Answer::Deleted(true)) => {
                // it goes on with its next revision, so it is no shorter than it was
                self.search_is_over();
                effects.push(Effect::Report(Report::Beyond(None)));
            }
            (Phase::Open(Search::Deletion { .. }), Answer::Deleted(false)) => self.end_seen(None, effects),
            (_, Answer::Confirmed) if is_subscribed => self.confirmed(now, effects),
            (_, Answer::CaughtUp) if is_subscribed => self.caught_up(now, effects),
            (_, Answer::FellBehind) if is_subscribed => {
                self.become_open();
                self.become_state(State::Reading, effects);
            }
            (_, Answer::Checkpoint(position)) if is_subscribed => self.checkpoint(position, effects),
            (_, Answer::Unknown) if is_subscribed => self.counts.unknown += 1,
            (
                _,
                Answer::Connected
                | Answer::Found(_)
                | Answer::NotFound(_)
                | Answer::Deleted(_)
                | Answer::Confirmed
                | Answer::CaughtUp
                | Answer::FellBehind
                | Answer::Checkpoint(_)
                | Answer::Unknown
                | Answer::Ended(_),
            ) => self.counts.late += 1,
        }
    }

    /// The end is located once and is a fixed place from then on: were it asked for anew at every attempt, what is
    /// appended between two attempts would be lost.
    fn connected(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.last.is_none() && self.start == Start::End {
            self.phase = Phase::Locating { until: self.patient(now) };
            effects.push(Effect::FindEnd(self.epoch));
        } else {
            self.end = if self.last.is_some() { End::Awaited } else { End::Passed };
            self.subscribe(now, effects);
        }
    }

    fn located(&mut self, end: Option<Position>, now: Duration, effects: &mut Vec<Effect>) {
        match end.map(|position| self.point(position)).transpose() {
            Ok(last) => {
                self.last = last;
                self.start = Start::Beginning;
                // where it ends is known, as that is where it begins
                self.end = End::Passed;
                effects.push(Effect::Report(Report::Located(end)));
                self.subscribe(now, effects);
            }
            Err(cause) => self.stop(cause, effects),
        }
    }

    fn subscribe(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.phase = Phase::Subscribing { until: self.patient(now) };
        let from = self.last.map_or(self.start, Start::After);
        effects.push(Effect::Subscribe(self.epoch, self.settings.target.from(from)));
    }

    fn confirmed(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.confirmed_at.is_some() {
            self.counts.unknown += 1;
            return;
        }
        self.confirmed_at = Some(now);
        self.counts.reconnects = self.confirmations;
        self.confirmations += 1;
        self.become_open();
        let taken = Report::Taken { epoch: self.epoch, after: self.last() };
        effects.push(Effect::Report(taken));
        self.become_state(State::Reading, effects);
    }

    fn become_open(&mut self) {
        if matches!(self.phase, Phase::Subscribing { .. }) {
            self.open = self.epoch;
            self.phase = Phase::Open(Search::NotYet);
        }
    }

    /// The end is looked for when the server has sent all there is after the position, and that was nothing: once for
    /// each connection, while that goes on. A subscription that has something to read never asks.
    fn caught_up(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.become_open();
        self.become_state(State::Subscribed, effects);
        if self.end == End::Awaited && self.phase == Phase::Open(Search::NotYet) {
            self.phase = Phase::Open(Search::End { until: self.patient(now) });
            effects.push(Effect::FindEnd(self.epoch));
        }
    }

    fn found(&mut self, end: Option<Position>, now: Duration, effects: &mut Vec<Effect>) {
        match end.map(|position| self.point(position)).transpose() {
            // one that was deleted is no shorter than it was
            Ok(None) if !self.on_log && self.end == End::Awaited => {
                self.phase = Phase::Open(Search::Deletion { until: self.patient(now) });
                effects.push(Effect::FindDeletion(self.epoch));
            }
            Ok(last) => self.end_seen(last, effects),
            Err(cause) => self.stop(cause, effects),
        }
    }

    /// It is made again on the next connection. One that failed says nothing.
    fn search_is_over(&mut self) {
        self.phase = Phase::Open(Search::Over);
    }

    /// Positions only grow, so what ends before the position after the subscription was made did so before, too. What has
    /// grown past it meanwhile cannot be told from what was never shorter.
    fn end_seen(&mut self, last: Option<Point>, effects: &mut Vec<Effect>) {
        self.phase = Phase::Open(Search::Over);
        let beyond = match (self.end, self.last) {
            (End::Awaited, Some(position)) if last.is_none_or(|last| last < position) => Some(Beyond {
                position: position.position(self.on_log),
                last: last.map(|last| last.position(self.on_log)),
            }),
            (End::Awaited | End::Passed, _) => None,
        };
        effects.push(Effect::Report(Report::Beyond(beyond)));
        if let (Some(beyond), OnBeyond::Stop) = (beyond, self.settings.on_beyond) {
            self.stop(Cause::BeyondEnd(beyond), effects);
        }
    }

    /// What comes after a checkpoint comes after all that it speaks of, so reading goes on behind it.
    fn checkpoint(&mut self, position: LogPosition, effects: &mut Vec<Effect>) {
        self.become_open();
        if !self.on_log {
            self.counts.unknown += 1;
            return;
        }
        match self.point(Position::Log(position)) {
            Ok(at) if self.last.is_none_or(|last| at > last) => {
                self.last = Some(at);
                self.end = End::Passed;
                let report = Report::Checkpoint(self.epoch, Position::Log(position));
                effects.push(Effect::Report(report));
            }
            Ok(_) => {}
            Err(cause) => self.stop(cause, effects),
        }
    }

    fn point(&self, position: Position) -> Result<Point, Cause> {
        let point = Point::of(position);
        let fits = point.is_possible() && position.revision().is_none() == self.on_log;
        if fits { Ok(point) } else { Err(Cause::Impossible(position)) }
    }

    fn ended(&mut self, failure: Failure, now: Duration, effects: &mut Vec<Effect>) {
        match failure {
            Failure::Passing | Failure::Moved => {
                self.drop_out(Cause::Failure, failure == Failure::Moved, now, effects);
            }
            Failure::Final => self.stop(Cause::Failure, effects),
        }
    }

    fn drop_out(&mut self, cause: Cause, is_moved: bool, now: Duration, effects: &mut Vec<Effect>) {
        let lasted = self.confirmed_at.map(|since| now.saturating_sub(since));
        let was_taken = lasted.is_some();
        if lasted.is_some_and(|lasted| lasted >= self.settings.backoff.healthy_after) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let chance = self.chance.f64();
        let wait = match self.failures {
            1 if is_moved => Duration::ZERO,
            failures => self.settings.backoff.wait(failures, chance),
        };
        self.close(Phase::BackingOff { until: now.saturating_add(wait) }, State::BackingOff, effects);
        effects.push(Effect::Report(Report::Dropped { cause, wait, was_taken }));
    }

    fn stop(&mut self, cause: Cause, effects: &mut Vec<Effect>) {
        self.close(Phase::Stopped, State::Stopped, effects);
        effects.push(Effect::Report(Report::Stopped(cause)));
    }

    fn close(&mut self, phase: Phase, state: State, effects: &mut Vec<Effect>) {
        (self.phase, self.state) = (phase, state);
        self.open = Epoch::NEVER;
        self.confirmed_at = None;
        effects.push(Effect::Close(self.epoch));
    }

    fn become_state(&mut self, state: State, effects: &mut Vec<Effect>) {
        if self.state != state {
            self.state = state;
            effects.push(Effect::Report(Report::State(self.epoch, state)));
        }
    }

    fn patient(&self, now: Duration) -> Duration {
        now.saturating_add(self.settings.patience)
    }
}
