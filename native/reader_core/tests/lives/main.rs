//! Lives of a subscription, step by step.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod beyond_end;
mod life;

use std::time::Duration;

use reader_core::{
    Answer, Backoff, Cause, Counts, Effect, Epoch, Failure, Input, LARGEST, LogPosition, OnBeyond, Place,
    Position, Report, Start, State, Verdict,
};

use life::*;

const MOVED: Answer = Answer::Ended(Failure::Moved);

#[test]
fn another_node_is_asked_at_once_and_after_a_while_when_that_is_said_again() {
    let mut life = life(Start::After(3)).live();
    assert_eq!(life.wait_after(MOVED), Duration::ZERO);
    assert_eq!(life.attempt(), stream(Start::After(3)));
    assert!(life.wait_after(MOVED) > Duration::ZERO);
}

#[test]
fn an_attempt_is_a_connection_then_a_call_then_its_confirmation() {
    let mut life = life(Start::Beginning);
    assert_eq!(life.reader.poll_timeout(), Some(Duration::ZERO));
    let epoch = Epoch::new(1);
    assert_eq!(life.tick(), [Effect::Report(Report::Connecting), Effect::Connect(epoch)]);
    assert_eq!(life.hear(Answer::Connected), [Effect::Subscribe(epoch, stream(Start::Beginning))]);
    let taken = [Report::Taken { epoch, after: None }, Report::State(epoch, State::Reading)];
    assert_eq!(life.hear(Answer::Confirmed), taken.map(Effect::Report));
    assert_eq!(life.reader.poll_timeout(), None);
    let caught_up = [Effect::Report(Report::State(epoch, State::Subscribed))];
    assert_eq!(life.hear(Answer::CaughtUp), caught_up);
}

#[test]
fn a_subscription_resumes_after_the_last_event_it_passed_on() {
    let mut life = life(Start::Beginning).live();
    assert_eq!([life.event(0), life.event(1)], [Verdict::Emit; 2]);
    life.hear(PASSING);
    assert_eq!(life.attempt(), stream(Start::After(1)));
}

#[test]
fn revision_zero_is_a_position_like_any_other() {
    assert_eq!(life(Start::After(0)).attempt(), stream(Start::After(0)));
}

#[test]
fn gaps_in_the_revisions_are_no_reason_to_drop_events() {
    let mut life = life(Start::After(5)).live();
    assert_eq!(life.event(8), Verdict::Emit);
    assert_eq!(life.event(6), Verdict::Stale);
    assert_eq!(life.event(8), Verdict::Stale);
    assert_eq!(life.reader.counts().stale, 2);
}

#[test]
fn the_end_is_located_once_and_then_stays_where_it_was() {
    let mut life = life(Start::End);
    life.tick();
    assert_eq!(life.hear(Answer::Connected), [Effect::FindEnd(Epoch::new(1))]);
    let found = life.hear(Answer::Found(Some(Position::Revision(9))));
    assert_eq!(found[0], Effect::Report(Report::Located(Some(Position::Revision(9)))));
    assert_eq!(subscribed(&found), stream(Start::After(9)));
    life.hear(PASSING);
    assert_eq!(life.attempt(), stream(Start::After(9)));
}

#[test]
fn the_end_of_a_stream_that_does_not_exist_is_its_beginning() {
    let mut life = life(Start::End);
    life.tick();
    life.hear(Answer::Connected);
    assert_eq!(subscribed(&life.hear(Answer::Found(None))), stream(Start::Beginning));
    life.hear(PASSING);
    assert_eq!(life.attempt(), stream(Start::Beginning));
}

#[test]
fn an_end_that_could_not_be_found_is_looked_for_again() {
    for answer in [Answer::NotFound(Failure::Passing), PASSING] {
        let mut life = life(Start::End);
        life.tick();
        life.hear(Answer::Connected);
        assert_eq!(life.hear(answer)[0], Effect::Close(Epoch::new(1)));
        life.tick();
        assert_eq!(life.hear(Answer::Connected), [Effect::FindEnd(Epoch::new(2))]);
    }
}

#[test]
fn every_step_has_its_time_and_says_which_it_was() {
    for (from, steps, cause) in [
        (Start::Beginning, &[][..], Cause::NotConnected),
        (Start::End, &[Answer::Connected], Cause::NotLocated),
        (Start::Beginning, &[Answer::Connected], Cause::NotConfirmed),
        // what is not known confirms nothing
        (Start::Beginning, &[Answer::Connected, Answer::Unknown], Cause::NotConfirmed),
        (Start::End, &[Answer::Connected, Answer::Found(None)], Cause::NotConfirmed),
    ] {
        let mut life = life(from);
        life.tick();
        for step in steps {
            life.hear(*step);
        }
        let began = life.now;
        assert_eq!(life.reader.handle(Input::Tick, began + PATIENCE - Duration::from_nanos(1)), []);
        let effects = life.tick();
        assert_eq!(life.now, began + PATIENCE);
        assert_eq!(effects[0], Effect::Close(Epoch::new(1)));
        let Effect::Report(Report::Dropped { cause: told, was_taken: false, .. }) = &effects[1] else {
            panic!("{effects:?}");
        };
        assert_eq!(*told, cause);
    }
}

#[test]
fn caught_up_may_come_any_number_of_times() {
    let mut life = life(Start::Beginning).live();
    let state = |state| [Effect::Report(Report::State(Epoch::new(1), state))];
    assert_eq!(life.hear(Answer::CaughtUp), state(State::Subscribed));
    assert_eq!(life.hear(Answer::CaughtUp), []);
    assert_eq!(life.hear(Answer::FellBehind), state(State::Reading));
    assert_eq!(life.hear(Answer::CaughtUp), state(State::Subscribed));
}

#[test]
fn an_event_before_the_confirmation_is_passed_on() {
    let mut life = life(Start::Beginning);
    life.attempt();
    assert_eq!(life.event(0), Verdict::Emit);
    assert_eq!(life.reader.poll_timeout(), None);
    assert!(!life.hear(Answer::Confirmed).is_empty());
}

#[test]
fn a_confirmation_that_comes_twice_counts_once() {
    let mut life = life(Start::Beginning).live();
    assert_eq!(life.hear(Answer::Confirmed), []);
    assert_eq!(life.reader.counts(), Counts { unknown: 1, ..Counts::default() });
}

#[test]
fn what_belongs_to_an_older_attempt_is_dropped_and_counted() {
    let mut life = life(Start::Beginning).live();
    let old = life.reader.epoch();
    life.hear(PASSING);
    assert_eq!(life.reader.event(old, at(0)), Verdict::Late);
    life.attempt();
    for answer in [Answer::Connected, Answer::Confirmed, Answer::CaughtUp, Answer::Ended(Failure::Final)] {
        assert_eq!(life.reader.handle(Input::Answer(old, answer), life.now), []);
    }
    assert_eq!(life.reader.event(old, at(0)), Verdict::Late);
    assert_eq!(life.reader.counts(), Counts { late: 6, ..Counts::default() });
    assert_eq!(life.reader.last(), None);
}

#[test]
fn an_answer_to_a_step_that_is_over_is_dropped_and_counted() {
    let mut life = life(Start::After(9)).live();
    life.hear(Answer::CaughtUp);
    life.tick();
    for answer in [Answer::Found(None), Answer::Deleted(false), Answer::Connected] {
        assert_eq!(life.hear(answer), []);
    }
    assert_eq!(life.reader.counts().late, 3);
}

#[test]
fn a_healthy_connection_makes_the_next_failure_the_first_again() {
    let mut life = life(Start::Beginning);
    for _ in 0..6 {
        life.tick();
        life.hear(PASSING);
    }
    life.attempt();
    life.hear(Answer::Confirmed);
    life.now += Backoff::default().healthy_after;
    assert!(life.wait_after(PASSING) <= Backoff::default().first);
    assert_eq!(life.reader.failures(), 1);
}

#[test]
fn a_connection_that_ends_at_once_does_not_shorten_the_wait() {
    let mut life = life(Start::Beginning);
    for _ in 0..6 {
        life.tick();
        life.hear(PASSING);
    }
    life.attempt();
    life.hear(Answer::Confirmed);
    // half of the wait at most is taken away by chance
    assert!(life.wait_after(PASSING) >= Backoff::default().most / 2);
}

#[test]
fn an_answer_that_asking_again_cannot_change_is_the_end() {
    let mut life = life(Start::Beginning).live();
    let stopped = Effect::Report(Report::Stopped(Cause::Failure));
    let ended = life.hear(Answer::Ended(Failure::Final));
    assert_eq!(ended, [Effect::Close(Epoch::new(1)), stopped]);
    assert_eq!((life.reader.state(), life.reader.poll_timeout()), (State::Stopped, None));
    assert_eq!(life.hear_all([Answer::Connected, Answer::Confirmed, PASSING]), []);
    assert_eq!(life.reader.handle(Input::Tick, Duration::MAX), []);
    assert_eq!(life.event(0), Verdict::Late);
}

#[test]
fn a_position_that_is_none_is_refused_by_name() {
    let last = Position::Revision(LARGEST + 1);
    let mut life = life(Start::Beginning).live();
    assert_eq!(life.event(LARGEST), Verdict::Emit);
    assert_eq!(life.event(LARGEST + 1), Verdict::Impossible);
    let stopped = life.reader.impossible(life.reader.epoch(), at(LARGEST + 1)).pop();
    assert_eq!(stopped, Some(Effect::Report(Report::Stopped(Cause::Impossible(last)))));
    let mut life = self::life(Start::End);
    life.tick();
    let stopped = life.hear_all([Answer::Connected, Answer::Found(Some(last))]).pop();
    assert_eq!(stopped, Some(Effect::Report(Report::Stopped(Cause::Impossible(last)))));
}

#[test]
fn in_the_log_positions_are_commit_and_prepare() {
    let mut life = life_of(all(Start::After(log(7))), OnBeyond::Wait);
    assert_eq!(life.attempt(), all(Start::After(log(7))));
    life.hear(Answer::Confirmed);
    for (commit, prepare, verdict) in
        [(7, 7, Verdict::Stale), (8, 3, Verdict::Emit), (8, 3, Verdict::Stale), (8, 8, Verdict::Emit)]
    {
        let place = Place { revision: 0, log: LogPosition { commit, prepare } };
        assert_eq!(life.reader.event(life.reader.epoch(), place), verdict);
    }
    life.hear(PASSING);
    assert_eq!(life.attempt(), all(Start::After(log(8))));
}

#[test]
fn a_checkpoint_is_told_and_resumed_from() {
    let mut life = life_of(all(Start::Beginning), OnBeyond::Wait).live();
    let told = Report::Checkpoint(Epoch::new(1), Position::Log(log(50)));
    assert_eq!(life.hear(Answer::Checkpoint(log(50))), [Effect::Report(told)]);
    // one that goes back says nothing new
    assert_eq!(life.hear(Answer::Checkpoint(log(40))), []);
    life.hear(PASSING);
    assert_eq!(life.attempt(), all(Start::After(log(50))));
    life.hear(Answer::Confirmed);
    let impossible = LogPosition { commit: 60, prepare: LARGEST + 1 };
    let cause = Cause::Impossible(Position::Log(impossible));
    let stopped = life.hear(Answer::Checkpoint(impossible)).pop();
    assert_eq!(stopped, Some(Effect::Report(Report::Stopped(cause))));
}
