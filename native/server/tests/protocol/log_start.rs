//! Position 0 of the log: where it begins, and where nothing is.

use wire::proto::streams::ReadReq;
use wire::proto::streams::read_req::options::{AllOptions, Position, StreamOption, all_options::AllOption};
use wire::proto::streams::read_resp::Content;

use crate::common::{any, append, event};
use crate::filters::log;
use crate::start;

fn from_zero(filter: Option<&str>, count: Option<u64>, backwards: bool) -> ReadReq {
    let mut request = log(filter, 32, count);
    let options = request.options.as_mut().unwrap();
    let zero = Position { commit_position: 0, prepare_position: 0 };
    options.stream_option =
        Some(StreamOption::All(AllOptions { all_option: Some(AllOption::Position(zero)) }));
    options.read_direction = i32::from(backwards);
    request
}

#[tokio::test]
async fn reading_on_from_position_0_is_reading_from_the_start() {
    let (server, mut client) = start().await;
    append(&mut client, "s", any(), vec![event(b"1".to_vec())]).await.unwrap();
    for filter in [None, Some("^s$")] {
        for (backwards, wanted) in [(false, true), (true, false)] {
            let request = from_zero(filter, Some(100), backwards);
            let mut answers = client.read(request).await.unwrap().into_inner();
            let mut streams = Vec::new();
            while let Some(answer) = answers.message().await.unwrap() {
                if let Some(Content::Event(event)) = answer.content {
                    streams.push(event.event.unwrap().stream_identifier.unwrap().stream_name);
                }
            }
            assert_eq!(streams.iter().any(|name| name == "s"), wanted, "{filter:?} {backwards}");
            assert!(wanted || streams.is_empty());
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_subscription_from_position_0_gets_what_was_there_and_what_comes() {
    let (server, mut client) = start().await;
    for filter in [None, Some("^s$")] {
        let mut answers = client.read(from_zero(filter, None, false)).await.unwrap().into_inner();
        append(&mut client, "s", any(), vec![event(b"1".to_vec())]).await.unwrap();
        loop {
            if let Some(Content::Event(event)) = answers.message().await.unwrap().unwrap().content
                && event.event.unwrap().stream_identifier.unwrap().stream_name == "s"
            {
                break;
            }
        }
    }
    server.shutdown().await;
}
