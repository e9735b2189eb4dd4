//! Filtered reads and subscriptions of the log.

use std::time::Duration;

use tonic::Code;
use wire::proto::Empty;
use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::options::filter_options::{Expression, Filter, Window};
use wire::proto::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, FilterOptions, StreamOption, all_options::AllOption,
};
use wire::proto::streams::read_resp::Content;

use crate::common::{Client, any, append, event, read};
use crate::start;

/// It tries every way to split a name of `a`s before it gives up.
const EXPONENTIAL: &str = r"^(a|a)*\1b$";

/// A read of the log; without a count a subscription.
pub fn log(expression: Option<&str>, window: u32, count: Option<u64>) -> ReadReq {
    let mut request = read("", count);
    let options = request.options.as_mut().unwrap();
    options.stream_option =
        Some(StreamOption::All(AllOptions { all_option: Some(AllOption::Start(Empty {})) }));
    if let Some(expression) = expression {
        let expression = Expression { regex: expression.to_owned(), prefix: Vec::new() };
        options.filter_option = Some(FilterOption::Filter(FilterOptions {
            filter: Some(Filter::StreamIdentifier(expression)),
            window: Some(Window::Max(window)),
            checkpoint_interval_multiplier: 1,
        }));
    }
    if count.is_none() {
        assert!(matches!(options.count_option, Some(CountOption::Subscription(_))));
    }
    request
}

async fn fill(client: &mut Client, stream: &str, events: usize, size: usize) {
    let events = (0..events).map(|_| event(vec![b'1'; size])).collect();
    append(client, stream, any(), events).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_that_goes_back_too_often_ends_its_own_call_with_a_reason_that_names_it() {
    let (server, mut client) = start().await;
    fill(&mut client, "first", 3, 10).await;
    fill(&mut client, &"a".repeat(42), 500, 10).await;
    for count in [None, Some(1_000)] {
        let mut answers = client.read(log(Some(EXPONENTIAL), 32, count)).await.unwrap().into_inner();
        let refused = loop {
            match answers.message().await {
                Ok(Some(answer)) => assert!(!matches!(answer.content, Some(Content::Event(_)))),
                Ok(None) => panic!("the events that could not be judged were left out"),
                Err(status) => break status,
            }
        };
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(&format!("{EXPONENTIAL:?}")), "{}", refused.message());
        assert!(refused.message().contains("aaaa"), "{}", refused.message());
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_expressions_hold_nobody_up_who_has_none_and_are_given_up_with_their_calls() {
    let (server, mut client) = start().await;
    // Just as many steps as are allowed for each of very many events.
    for number in 0..40 {
        fill(&mut client, &format!("{}-{number}", "a".repeat(13)), 500, 10).await;
    }
    let address = server.local_addr().to_string();
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut client = crate::common::client(&address).await;
        let mut answers = client.read(log(Some(EXPONENTIAL), 1_000_000, None)).await.unwrap().into_inner();
        let confirmed = answers.message().await.unwrap().unwrap().content;
        assert!(matches!(confirmed, Some(Content::Confirmation(_))));
        slow.push((client, answers));
    }
    for _ in 0..50 {
        fill(&mut client, "w", 1, 10).await;
    }
    // Their threads are free again as soon as nobody waits: another filter has its turn.
    drop(slow);
    let answers = client.read(log(Some("^w$"), 32, Some(50)));
    let mut answers =
        tokio::time::timeout(Duration::from_secs(10), answers).await.unwrap().unwrap().into_inner();
    let mut found = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        found += usize::from(matches!(answer.content, Some(Content::Event(_))));
    }
    assert_eq!(found, 50);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_larger_than_the_log_is_looked_at_a_page_at_a_time_and_finds_the_same() {
    let (server, mut client) = start().await;
    for number in 0..10 {
        fill(&mut client, &format!("s{}", number % 2), 100, 1_000).await;
    }
    let mut answers = client.read(log(Some("^s1$"), u32::MAX, None)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    loop {
        match answers.message().await.unwrap().unwrap().content.unwrap() {
            Content::Event(event) => seen.push(event.event.unwrap().stream_revision),
            Content::CaughtUp(_) => break,
            _ => {}
        }
    }
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_of_the_log_is_caught_up_once_it_has_everything_however_large_the_events() {
    let (server, mut client) = start().await;
    for _ in 0..40 {
        fill(&mut client, "s", 10, 10_000).await;
    }
    let mut answers = client.read(log(None, 0, None)).await.unwrap().into_inner();
    let mut events = 0;
    loop {
        match answers.message().await.unwrap().unwrap().content.unwrap() {
            Content::Event(_) => events += 1,
            Content::CaughtUp(_) => break,
            _ => {}
        }
    }
    // One is the server's own.
    assert_eq!(events, 401);
    server.shutdown().await;
}
