//! Subscriptions to the log of all streams, whole and through filters, to the embedded server.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod support;

use client::Subscription;
use reader_core::{Filter, LogPosition, OnBeyond, Pattern, Place, Position, Start, State, Subject, Target};
use support::*;
use tokio::sync::Semaphore;

fn log(from: Start<LogPosition>, filter: Option<Filter>) -> Subscription {
    Subscription { target: Target::All { from, filter }, ..wanted("", Start::Beginning) }
}

fn filter(subject: Subject, pattern: Pattern) -> Option<Filter> {
    Some(Filter::new(subject, pattern, 4, 1).expect("a good filter"))
}

fn prefixes(all: &[&str]) -> Pattern {
    Pattern::Prefixes(all.iter().map(|&one| one.into()).collect())
}

fn follow(connection: &client::Connection, subscription: Subscription) -> Running {
    subscribe_to(connection, subscription, Semaphore::MAX_PERMITS)
}

/// Appends an event and answers where it is in the log.
async fn put(connection: &client::Connection, stream: &str) -> LogPosition {
    let appended = append(connection, stream, vec![event(b"{}")]).await.expect("appended");
    let (commit, prepare) = appended.position.expect("a position");
    LogPosition { commit, prepare }
}

impl Running {
    /// The places of events up to the one at this position of the log.
    async fn places_until(&mut self, last: LogPosition) -> Vec<Place> {
        let mut places = Vec::new();
        while places.last().is_none_or(|place: &Place| place.log < last) {
            if let Given::Place(place) = self.next().await {
                places.push(place);
            }
        }
        places
    }

    async fn positions_until(&mut self, last: LogPosition) -> Vec<LogPosition> {
        self.places_until(last).await.into_iter().map(|place| place.log).collect()
    }
}

#[tokio::test]
async fn the_log_is_read_in_its_order_and_then_followed() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let mut expected = Vec::new();
    for stream in ["a", "b", "a"] {
        expected.push(put(&connection, stream).await);
    }
    let mut running = follow(&connection, log(Start::Beginning, None));
    let mut read = running.positions_until(expected[2]).await;
    assert!(read.is_sorted_by(|earlier, later| earlier < later), "{read:?}");
    read.retain(|position| expected.contains(position));
    assert_eq!(read, expected);
    running.until(Given::State(State::Subscribed)).await;
    let next = put(&connection, "c").await;
    assert_eq!(running.positions_until(next).await, [next]);
}

#[tokio::test]
async fn a_position_in_the_log_is_exclusive() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let first = put(&connection, "a").await;
    let second = put(&connection, "b").await;
    let mut running = follow(&connection, log(Start::After(first), None));
    assert_eq!(running.positions_until(second).await, [second]);
}

#[tokio::test]
async fn the_end_of_the_log_is_where_it_was_when_the_subscription_began() {
    let server = server().await;
    let direct = connection(server.local_addr());
    put(&direct, "a").await;
    let road = Road::to(server.local_addr()).await;
    for filter in [None, filter(Subject::Stream, prefixes(&["b", "c"]))] {
        let mut running = follow(&connection(road.address), log(Start::End, filter));
        running.until(Given::State(State::Subscribed)).await;
        road.cut();
        let missed = [put(&direct, "b").await, put(&direct, "c").await];
        assert_eq!(running.positions_until(missed[1]).await, missed);
    }
}

#[tokio::test]
async fn a_filter_takes_streams_or_types_by_prefix_or_by_expression() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let order = put(&connection, "order-1").await;
    put(&connection, "other-1").await;
    let last = put(&connection, "order-2").await;
    for (filter, fitting) in [
        (filter(Subject::Stream, prefixes(&["order-", "none-"])), vec![order, last]),
        (filter(Subject::Stream, Pattern::Regex("^order-[2-9]$".into())), vec![last]),
    ] {
        let mut running = follow(&connection, log(Start::Beginning, filter));
        assert_eq!(running.positions_until(last).await, fitting);
    }
    for pattern in [prefixes(&["T"]), Pattern::Regex("^T$".into())] {
        let mut running = follow(&connection, log(Start::Beginning, filter(Subject::EventType, pattern)));
        assert_eq!(running.positions_until(last).await.len(), 3);
    }
}

#[tokio::test]
async fn a_filter_resumes_from_its_checkpoints_and_loses_nothing() {
    let server = server().await;
    let direct = connection(server.local_addr());
    let road = Road::to(server.local_addr()).await;
    let filter = filter(Subject::Stream, prefixes(&["order-"]));
    let first = put(&direct, "order-1").await;
    let mut running = follow(&connection(road.address), log(Start::Beginning, filter));
    assert_eq!(running.positions_until(first).await, [first]);
    running.until(Given::State(State::Subscribed)).await;
    fill(&direct, "other-1", 40).await;
    let checkpoint = loop {
        if let Given::Checkpoint(Position::Log(position)) = running.next().await {
            break position;
        }
    };
    assert!(checkpoint > first, "{checkpoint:?}");
    road.cut();
    let after = loop {
        if let Given::TakenAfter(Some(Position::Log(position))) = running.next().await {
            break position;
        }
    };
    assert!(after >= checkpoint, "{after:?} is before {checkpoint:?}");
    let next = put(&direct, "order-2").await;
    assert_eq!(running.positions_until(next).await, [next]);
}

#[tokio::test]
async fn a_log_that_ends_before_the_position_stops_the_subscription_that_wants_it_so() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let last = put(&connection, "a").await;
    let position = LogPosition { commit: last.commit + 1000, prepare: last.prepare + 1000 };
    let wanted = Subscription { on_beyond: OnBeyond::Stop, ..log(Start::After(position), None) };
    let mut running = follow(&connection, wanted);
    running.until(Given::Stopped("position_beyond_end")).await;
    let expected = format!(
        "the stream \"$all\" ends at position C:{}/P:{}, which is before position C:{}/P:{}",
        last.commit, last.prepare, position.commit, position.prepare
    );
    assert_eq!(running.error().to_string(), expected);
}

#[tokio::test]
async fn a_position_that_is_no_events_is_refused_by_the_server_and_final() {
    let server = server().await;
    let connection = connection(server.local_addr());
    let first = put(&connection, "a").await;
    append(&connection, "a", vec![event(b"{\"long\":\"enough\"}")]).await.expect("appended");
    put(&connection, "b").await;
    let between = LogPosition { commit: first.commit + 1, prepare: first.prepare + 1 };
    let mut running = follow(&connection, log(Start::After(between), None));
    running.until(Given::Stopped("invalid_argument")).await;
}
