//! A machine with its time, for tests that lead its life.

use std::time::Duration;

use reader_core::{
    Answer, Backoff, Beyond, Effect, Failure, Filter, Input, LogPosition, OnBeyond, Pattern, Place, Position,
    Reader, Report, Settings, Start, Subject, Target, Verdict,
};

pub const PATIENCE: Duration = Duration::from_secs(10);
pub const SECOND: Duration = Duration::from_secs(1);

/// A machine, its time, and what it did last.
pub struct Life {
    pub reader: Reader,
    pub now: Duration,
}

pub fn life_of(target: Target, on_beyond: OnBeyond) -> Life {
    let settings = Settings { target, on_beyond, backoff: Backoff::default(), patience: PATIENCE };
    Life { reader: Reader::new(settings, 7), now: SECOND }
}

pub fn stream(from: Start) -> Target {
    Target::Stream { name: "s".into(), from }
}

pub fn life(from: Start) -> Life {
    life_of(stream(from), OnBeyond::Wait)
}

pub fn all(from: Start<LogPosition>) -> Target {
    let pattern = Pattern::Prefixes(vec!["order-".into()]);
    let filter = Filter::new(Subject::Stream, pattern, 32, 1).expect("a good filter");
    Target::All { from, filter: Some(filter) }
}

pub fn log(position: u64) -> LogPosition {
    LogPosition { commit: position, prepare: position }
}

pub fn at(revision: u64) -> Place {
    Place { revision, log: log(1000 + revision) }
}

pub fn beyond(position: u64, last: Option<u64>) -> Beyond {
    Beyond { position: Position::Revision(position), last: last.map(Position::Revision) }
}

impl Life {
    pub fn tick(&mut self) -> Vec<Effect> {
        self.now = self.now.max(self.reader.poll_timeout().expect("something is waited for"));
        self.reader.handle(Input::Tick, self.now)
    }

    pub fn hear(&mut self, answer: Answer) -> Vec<Effect> {
        self.reader.handle(Input::Answer(self.reader.epoch(), answer), self.now)
    }

    pub fn hear_all<const N: usize>(&mut self, answers: [Answer; N]) -> Vec<Effect> {
        answers.map(|answer| self.hear(answer)).concat()
    }

    pub fn event(&mut self, revision: u64) -> Verdict {
        self.reader.event(self.reader.epoch(), at(revision))
    }

    /// What is subscribed to by the attempt that begins now.
    pub fn attempt(&mut self) -> Target {
        self.tick();
        subscribed(&self.hear(Answer::Connected))
    }

    pub fn live(mut self) -> Self {
        self.attempt();
        self.hear(Answer::Confirmed);
        self
    }

    pub fn wait_after(&mut self, answer: Answer) -> Duration {
        match self.hear(answer).pop() {
            Some(Effect::Report(Report::Dropped { wait, .. })) => wait,
            other => panic!("{other:?}"),
        }
    }
}

pub fn subscribed(effects: &[Effect]) -> Target {
    match effects.last() {
        Some(Effect::Subscribe(_, target)) => target.clone(),
        other => panic!("{other:?} is no subscription"),
    }
}

pub const PASSING: Answer = Answer::Ended(Failure::Passing);
