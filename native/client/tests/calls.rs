//! Appends and reads that go wrong on the way.

#![allow(clippy::expect_used)]

mod support;

use std::time::Duration;

use client::{
    Direction, Expectation, From, MAX_MESSAGE_SIZE, Page, Read, ReadLimits, Time, What, read_events,
};
use h2::Reason;
use support::*;
use tokio::net::TcpListener;
use wire::error::Error;

#[tokio::test]
async fn an_append_whose_answer_is_lost_may_have_been_written_and_can_be_made_again() {
    for (what, wrong) in [
        ("a reset without an error", vec![GRPC, Say::Reset(Reason::NO_ERROR)]),
        ("a reset before the head", vec![Say::Reset(Reason::CANCEL)]),
        ("a reset for a fault", vec![GRPC, Say::Reset(Reason::INTERNAL_ERROR)]),
        ("an end without trailers", vec![GRPC, Say::End]),
        ("429", vec![Say::Head(429, "text/html"), Say::Data(b"<html>".to_vec()), Say::End]),
        ("502", vec![Say::Head(502, "text/html"), Say::Data(b"<html>".to_vec()), Say::End]),
        ("503", vec![Say::Head(503, "text/html"), Say::Data(b"<html>".to_vec()), Say::End]),
        ("504", vec![Say::Head(504, "text/html"), Say::Data(b"<html>".to_vec()), Say::End]),
        ("a connection that goes away", vec![Say::GoAway(Reason::INTERNAL_ERROR)]),
        ("a server that says so", vec![GRPC, status(14)]),
        ("a server that gave up", vec![GRPC, status(4)]),
        ("silence", vec![GRPC, Say::Silence]),
    ] {
        let address = answerer(vec![wrong]).await;
        let connection = connection_with(address, "&defaultDeadline=200");
        let failed = append(&connection, "s", vec![event(b"{}")]).await.expect_err(what);
        assert!(failed.may_be_written && failed.error.retryable(), "{what}: {failed:?}");
    }
}

#[tokio::test]
async fn an_append_that_reached_no_server_or_was_refused_was_not_written() {
    let address = {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        taken.local_addr().expect("bound")
    };
    let failed = append(&connection(address), "s", vec![event(b"{}")]).await.expect_err("no server");
    assert!(!failed.may_be_written && failed.error.retryable(), "{failed:?}");
    assert!(failed.error.to_string().contains(&address.to_string()), "{failed:?}");
    for code in [3, 7, 12, 16] {
        let address = answerer(vec![vec![GRPC, status(code)]]).await;
        let failed = append(&connection(address), "s", vec![event(b"{}")]).await.expect_err("refused");
        assert!(!failed.may_be_written && !failed.error.retryable(), "{failed:?}");
    }
}

#[tokio::test]
async fn an_append_whose_answer_cannot_be_decoded_is_told_so_and_may_have_been_written() {
    for wrong in [vec![0xFF], vec![], vec![0x0A, 9]] {
        let address = answerer(vec![vec![GRPC, Say::Data(framed(&wrong)), ok()]]).await;
        let failed = append(&connection(address), "s", vec![event(b"{}")]).await.expect_err("no answer");
        assert_eq!((failed.error.reason(), failed.may_be_written), ("protocol", true));
        assert!(failed.error.to_string().starts_with("the answer cannot be decoded: "), "{failed:?}");
    }
}

#[tokio::test]
async fn a_call_ends_when_its_own_time_is_over_whatever_the_connection_says() {
    let address = answerer(vec![vec![GRPC, Say::Silence]]).await;
    let connection = connection_with(address, "&defaultDeadline=-1");
    let time = Duration::from_millis(100);
    let events = vec![event(b"{}")];
    let failed = client::append(&connection, "s".into(), Expectation::Any, events, Time::Limited(time))
        .await
        .expect_err("in time");
    assert_eq!((failed.error.reason(), failed.may_be_written), ("deadline_exceeded", true));
    let limits = ReadLimits { message: MAX_MESSAGE_SIZE, page: None, timeout: Some(time) };
    let error = read_events(&connection, &whole(), limits).await.expect_err("in time");
    assert_eq!(error.reason(), "deadline_exceeded");
    let shown = error.to_string();
    assert!(shown.contains(&address.to_string()) && shown.contains("within 100 ms"), "{shown}");
}

fn whole() -> Read {
    Read {
        what: What::Stream { name: "s".into(), from: From::Start },
        direction: Direction::Forwards,
        count: 100,
        resolve_links: true,
    }
}

async fn read(says: Vec<Say>) -> Result<Option<Page>, Error> {
    let address = answerer(vec![says]).await;
    let limits = ReadLimits { message: 1024, page: None, timeout: None };
    read_events(&connection(address), &whole(), limits).await
}

#[tokio::test]
async fn a_read_that_is_cut_is_never_taken_for_a_whole_one() {
    let first = event_at(0);
    let second = event_at(1);
    for (what, cut, end) in [
        ("within a message, OK", second.iter().copied().take(8).collect(), ok()),
        ("within the head of a message, OK", vec![0, 0], ok()),
        ("within a message, no trailers", second.iter().copied().take(8).collect(), Say::End),
        ("after a message, no trailers", second.clone(), Say::End),
        ("after a message, reset", second.clone(), Say::Reset(Reason::NO_ERROR)),
        ("after a message, no status", second.clone(), Say::Trailers(vec![("server", "proxy".into())])),
    ] {
        let says = vec![GRPC, Say::Data(first.clone()), Say::Data(cut), end];
        let error = read(says).await.expect_err(what);
        assert_eq!((error.reason(), error.retryable()), ("unavailable", true), "{what}: {error}");
    }
    let says = vec![GRPC, Say::Data([first, second].concat()), ok()];
    assert_eq!(read(says).await.map(|page| page.map(|page| page.events.len())), Ok(Some(2)));
}

#[tokio::test]
async fn a_read_takes_no_more_events_than_it_asked_for() {
    let says = vec![GRPC, Say::Data([event_at(0), event_at(1)].concat()), Say::Silence];
    let address = answerer(vec![says]).await;
    let limits = ReadLimits { message: MAX_MESSAGE_SIZE, page: None, timeout: None };
    let one = Read { count: 1, ..whole() };
    let error = read_events(&connection(address), &one, limits).await.expect_err("one too many");
    let expected =
        "the message after revision 0 cannot be decoded: it is one more than the 1 that were asked for";
    assert_eq!((error.reason(), error.to_string().as_str()), ("protocol", expected));
}

#[tokio::test]
async fn a_read_names_the_event_that_is_over_its_limit() {
    let large = framed(&[0; 2000]);
    let error =
        read(vec![GRPC, Say::Data([event_at(7), large].concat()), ok()]).await.expect_err("too large");
    let expected = "the message after revision 7 has 2000 bytes; the limit, max_message_size, is 1024 bytes";
    assert_eq!((error.reason(), error.to_string().as_str()), ("message_too_large", expected));
}

#[tokio::test]
async fn an_error_of_the_server_in_the_middle_of_a_message_is_told_as_the_server_says_it() {
    let error = read(vec![GRPC, Say::Data(vec![0, 0, 0]), status(7)]).await.expect_err("denied");
    assert_eq!(error.reason(), "access_denied");
}
