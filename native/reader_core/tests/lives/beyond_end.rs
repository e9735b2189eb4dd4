//! Positions that are behind the end of what is read.

use reader_core::{Answer, Beyond, Cause, Effect, Epoch, Failure, OnBeyond, Position, Report, Start, State};

use crate::life::*;

#[test]
fn a_stream_that_ends_before_the_position_is_found_out_once_the_server_has_sent_all_there_is() {
    for last in [Some(0), Some(8)] {
        let mut life = life(Start::After(9)).live();
        assert_eq!(life.hear(Answer::CaughtUp).pop(), Some(Effect::FindEnd(Epoch::new(1))));
        let found = life.hear(Answer::Found(last.map(Position::Revision)));
        assert_eq!(found, [Effect::Report(Report::Beyond(Some(beyond(9, last))))]);
        assert_eq!(life.hear_all([Answer::FellBehind, Answer::CaughtUp]).len(), 2, "it is asked once");
    }
}

#[test]
fn a_stream_that_is_missing_was_deleted_or_is_gone() {
    for (answer, told) in [(Answer::Deleted(true), None), (Answer::Deleted(false), Some(beyond(9, None)))] {
        let mut life = life(Start::After(9)).live();
        life.hear(Answer::CaughtUp);
        assert_eq!(life.hear(Answer::Found(None)), [Effect::FindDeletion(Epoch::new(1))]);
        assert_eq!(life.hear(answer), [Effect::Report(Report::Beyond(told))]);
    }
    // metadata that nobody may read says that it is gone, too
    let mut life = life(Start::After(9)).live();
    life.hear_all([Answer::CaughtUp, Answer::Found(None)]);
    let told = Effect::Report(Report::Beyond(Some(beyond(9, None))));
    assert_eq!(life.hear(Answer::NotFound(Failure::Final)), [told]);
}

#[test]
fn nothing_is_said_of_a_missing_stream_while_nobody_answers_whether_it_was_deleted() {
    let missing = || {
        let mut life = life_of(stream(Start::After(9)), OnBeyond::Stop).live();
        life.hear_all([Answer::CaughtUp, Answer::Found(None)]);
        life
    };
    assert_eq!(missing().tick(), [Effect::GiveUp(Epoch::new(1))]);
    assert_eq!(missing().hear(Answer::NotFound(Failure::Passing)), []);
}

#[test]
fn a_position_beyond_the_end_stops_the_subscription_that_wants_it_so() {
    let mut life = life_of(stream(Start::After(9)), OnBeyond::Stop).live();
    life.hear(Answer::CaughtUp);
    let stopped = life.hear(Answer::Found(Some(Position::Revision(3)))).pop();
    let cause = Cause::BeyondEnd(beyond(9, Some(3)));
    assert_eq!(stopped, Some(Effect::Report(Report::Stopped(cause))));
    assert_eq!(life.reader.state(), State::Stopped);
}

#[test]
fn a_stream_that_reaches_the_position_is_not_shorter_than_it() {
    for last in [9, 10] {
        let mut life = life(Start::After(9)).live();
        life.hear(Answer::CaughtUp);
        let found = life.hear(Answer::Found(Some(Position::Revision(last))));
        assert_eq!(found, [Effect::Report(Report::Beyond(None))]);
    }
}

#[test]
fn the_end_is_not_looked_for_by_who_has_something_to_read() {
    let mut read = life(Start::After(9)).live();
    read.event(10);
    // nor by who begins with the first event, or at an end that was just found
    let first = life(Start::Beginning).live();
    let mut end = life(Start::End);
    end.tick();
    end.hear_all([Answer::Connected, Answer::Found(Some(Position::Revision(9))), Answer::Confirmed]);
    for mut life in [read, first, end] {
        assert_eq!(life.hear(Answer::CaughtUp).len(), 1);
        assert_eq!(life.reader.poll_timeout(), None);
    }
}

#[test]
fn an_event_that_comes_while_the_end_is_looked_for_is_answer_enough() {
    let mut life = life(Start::After(9)).live();
    life.hear(Answer::CaughtUp);
    life.event(10);
    let found = life.hear(Answer::Found(Some(Position::Revision(3))));
    assert_eq!(found, [Effect::Report(Report::Beyond(None))]);
}

#[test]
fn a_search_that_fails_or_is_not_answered_is_made_again_on_the_next_connection() {
    for answered in [true, false] {
        let mut life = life(Start::After(9)).live();
        life.hear(Answer::CaughtUp);
        if answered {
            assert_eq!(life.hear(Answer::NotFound(Failure::Final)), []);
        } else {
            assert_eq!(life.tick(), [Effect::GiveUp(Epoch::new(1))]);
        }
        assert_eq!(life.reader.poll_timeout(), None);
        life.hear(PASSING);
        life.attempt();
        let again = life.hear_all([Answer::Confirmed, Answer::CaughtUp]);
        assert_eq!(again.last(), Some(&Effect::FindEnd(Epoch::new(2))));
    }
}

#[test]
fn a_log_that_ends_before_the_position_is_found_out_and_is_never_taken_for_deleted() {
    for last in [None, Some(Position::Log(log(6)))] {
        let mut life = life_of(all(Start::After(log(7))), OnBeyond::Wait).live();
        life.hear(Answer::CaughtUp);
        let beyond = Beyond { position: Position::Log(log(7)), last };
        let found = life.hear(Answer::Found(last));
        assert_eq!(found, [Effect::Report(Report::Beyond(Some(beyond)))]);
    }
}
