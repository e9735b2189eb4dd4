//! Whole lives of a subscription, played against a model of a server.

use std::time::Duration;

use proptest::prelude::*;
use reader_core::{Backoff, Beyond, Epoch, Fate, Progress, Reader, Start, State, Step, Verdict};

const NOW: Duration = Duration::from_secs(1);

fn reader(from: Start) -> Reader {
    Reader::new(from, Backoff::default())
}

#[test]
fn a_reader_resumes_after_the_last_event_it_passed_on() {
    let mut reader = reader(Start::Beginning);
    assert_eq!(reader.connect(), Step::Subscribe(Start::Beginning));
    reader.confirmed(NOW);
    assert_eq!(reader.event(0), Verdict::Emit);
    assert_eq!(reader.event(1), Verdict::Emit);
    assert!(matches!(reader.ended(true, NOW, 0.5), Fate::Retry(_)));
    assert_eq!(reader.connect(), Step::Subscribe(Start::After(1)));
}

#[test]
fn revision_zero_is_a_position_like_any_other() {
    assert_eq!(reader(Start::After(0)).connect(), Step::Subscribe(Start::After(0)));
}

#[test]
fn gaps_in_the_revisions_are_no_reason_to_drop_events() {
    let mut reader = reader(Start::After(5));
    assert_eq!(reader.event(8), Verdict::Emit);
    assert_eq!(reader.event(6), Verdict::Stale);
}

#[test]
fn the_end_is_located_once_and_then_stays_where_it_was() {
    let mut reader = reader(Start::End);
    assert_eq!(reader.connect(), Step::LocateEnd);
    assert_eq!(reader.end_located(Some(9)), Step::Subscribe(Start::After(9)));
    reader.ended(true, NOW, 0.0);
    assert_eq!(reader.connect(), Step::Subscribe(Start::After(9)));
}

#[test]
fn the_end_of_a_stream_that_does_not_exist_is_its_beginning() {
    let mut reader = reader(Start::End);
    assert_eq!(reader.end_located(None), Step::Subscribe(Start::Beginning));
    reader.ended(true, NOW, 0.0);
    assert_eq!(reader.connect(), Step::Subscribe(Start::Beginning));
}

#[test]
fn caught_up_may_come_any_number_of_times() {
    let mut reader = reader(Start::Beginning);
    reader.connect();
    assert_eq!(reader.confirmed(NOW), Progress::Changed(State::Reading));
    assert_eq!(reader.caught_up(), Progress::Changed(State::Subscribed));
    assert_eq!(reader.caught_up(), Progress::Same);
    assert_eq!(reader.fell_behind(), Progress::Changed(State::Reading));
}

fn caught_up_after(position: u64) -> Reader {
    let mut reader = reader(Start::After(position));
    reader.connect();
    reader.confirmed(NOW);
    reader
}

#[test]
fn a_stream_that_ends_before_the_position_is_found_out_once_the_server_has_sent_all_there_is() {
    for last in [None, Some(0), Some(8)] {
        let mut reader = caught_up_after(9);
        assert!(!reader.awaits_end());
        reader.caught_up();
        assert!(reader.awaits_end());
        assert_eq!(reader.end_seen(last), Some(Beyond { position: 9, last }));
        assert!(!reader.awaits_end());
    }
}

#[test]
fn a_stream_that_reaches_the_position_is_not_shorter_than_it() {
    for last in [9, 10] {
        let mut reader = caught_up_after(9);
        reader.caught_up();
        assert_eq!(reader.end_seen(Some(last)), None);
        assert!(!reader.awaits_end());
    }
}

#[test]
fn the_end_is_not_looked_for_by_who_has_something_to_read() {
    let mut reader = caught_up_after(9);
    reader.event(10);
    reader.caught_up();
    assert!(!reader.awaits_end());
    // nor by who begins with the first event, or at an end that was just found
    let mut reader = self::reader(Start::Beginning);
    reader.connect();
    reader.confirmed(NOW);
    reader.caught_up();
    assert!(!reader.awaits_end());
    let mut reader = self::reader(Start::End);
    reader.end_located(Some(9));
    reader.confirmed(NOW);
    reader.caught_up();
    assert!(!reader.awaits_end());
}

#[test]
fn an_event_that_comes_while_the_end_is_looked_for_is_answer_enough() {
    let mut reader = caught_up_after(9);
    reader.caught_up();
    assert!(reader.awaits_end());
    reader.event(10);
    assert_eq!(reader.end_seen(Some(3)), None);
}

#[test]
fn the_end_is_looked_for_again_on_every_connection() {
    let mut reader = caught_up_after(9);
    reader.caught_up();
    reader.end_seen(Some(9));
    reader.ended(true, NOW, 0.0);
    reader.connect();
    reader.confirmed(NOW);
    reader.caught_up();
    assert!(reader.awaits_end());
}

#[test]
fn every_connection_that_is_confirmed_has_an_epoch_of_its_own() {
    let mut reader = reader(Start::Beginning);
    let mut epochs: Vec<Epoch> = vec![reader.epoch()];
    for _ in 0..3 {
        reader.connect();
        reader.confirmed(NOW);
        epochs.push(reader.epoch());
        reader.ended(true, NOW, 0.0);
        reader.connect();
        reader.ended(true, NOW, 0.0);
        assert_eq!(epochs.last(), Some(&reader.epoch()));
    }
    assert!(epochs.is_sorted_by(|earlier, later| earlier < later), "{epochs:?}");
}

#[test]
fn a_healthy_connection_makes_the_next_failure_the_first_again() {
    let mut reader = reader(Start::Beginning);
    for _ in 0..5 {
        reader.ended(true, NOW, 0.0);
    }
    reader.confirmed(NOW);
    assert_eq!(reader.ended(true, NOW + Duration::from_secs(11), 0.0), Fate::Retry(Backoff::default().first));
}

#[test]
fn a_connection_that_ends_at_once_does_not_shorten_the_wait() {
    let mut reader = reader(Start::Beginning);
    for _ in 0..5 {
        reader.ended(true, NOW, 0.0);
    }
    reader.confirmed(NOW);
    assert!(matches!(reader.ended(true, NOW, 0.0), Fate::Retry(wait) if wait > Duration::from_secs(3)));
}

#[test]
fn an_answer_that_asking_again_cannot_change_stops_the_reader() {
    let mut reader = reader(Start::Beginning);
    assert_eq!(reader.ended(false, NOW, 0.0), Fate::Stop);
    assert_eq!(reader.state(), State::Stopped);
}

proptest! {
    /// Whatever the server drops, repeats and truncates: each event once, in order, none left out.
    #[test]
    fn every_event_is_passed_on_once_and_in_order(
        restored in proptest::option::of(0_u64..20),
        calls in proptest::collection::vec((0_usize..30, 0_u64..4), 1..12),
    ) {
        let length = 60;
        let start = restored.map_or(Start::Beginning, Start::After);
        let mut reader = reader(start);
        let mut emitted = Vec::new();
        for (delivered, repeated) in calls.into_iter().chain([(length as usize, 0)]) {
            let Step::Subscribe(from) = reader.connect() else { panic!("the end is not asked for") };
            reader.confirmed(NOW);
            let first = match from { Start::After(revision) => revision + 1, _ => 0 };
            // a server may send some once more
            for revision in (first.saturating_sub(repeated)..length).take(delivered) {
                if reader.event(revision) == Verdict::Emit {
                    emitted.push(revision);
                }
            }
            reader.ended(true, NOW, 0.3);
        }
        let expected: Vec<_> = (restored.map_or(0, |revision| revision + 1)..length).collect();
        prop_assert_eq!(emitted, expected);
    }
}
