//! `PersistentSubscriptions` of a server without groups.

use tonic::{Code, Status};
use wire::proto::Empty;
use wire::proto::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use wire::proto::persistent_subscriptions::{
    CreateReq, DeleteReq, GetInfoReq, ListReq, delete_req, get_info_req, list_req,
};

use crate::common::name;
use crate::start;

fn assert_missing(refused: &Status, stream: &str, group: Option<&str>) {
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    let field = |key: &str| refused.metadata().get(key).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(field("exception").as_deref(), Some("persistent-subscription-does-not-exist"));
    assert_eq!(field("stream-name").as_deref(), Some(stream));
    assert_eq!(field("group-name").as_deref(), group);
    let group = group.unwrap_or_default();
    assert_eq!(refused.message(), format!("Subscription group {group} on stream {stream} does not exist."));
}

#[tokio::test]
async fn what_a_client_asks_when_it_cleans_up_is_answered_as_by_a_server_without_groups() {
    let (server, _) = start().await;
    let mut client =
        PersistentSubscriptionsClient::connect(format!("http://{}", server.local_addr())).await.unwrap();
    use list_req::{options::ListOption, stream_option::StreamOption};
    let of = |option| ListOption::ListForStream(list_req::StreamOption { stream_option: Some(option) });
    for (option, stream) in [
        (ListOption::ListAllSubscriptions(Empty {}), "$all"),
        (of(StreamOption::All(Empty {})), "$all"),
        (of(StreamOption::Stream(name("s").unwrap())), "s"),
    ] {
        let options = Some(list_req::Options { list_option: Some(option) });
        assert_missing(&client.list(ListReq { options }).await.unwrap_err(), stream, None);
    }
    for (delete, info, stream) in [
        (
            delete_req::options::StreamOption::All(Empty {}),
            get_info_req::options::StreamOption::All(Empty {}),
            "$all",
        ),
        (
            delete_req::options::StreamOption::StreamIdentifier(name("s").unwrap()),
            get_info_req::options::StreamOption::StreamIdentifier(name("s").unwrap()),
            "s",
        ),
    ] {
        let options = delete_req::Options { stream_option: Some(delete), group_name: "g".to_owned() };
        let refused = client.delete(DeleteReq { options: Some(options) }).await.unwrap_err();
        assert_missing(&refused, stream, Some("g"));
        let options = get_info_req::Options { stream_option: Some(info), group_name: "g".to_owned() };
        let refused = client.get_info(GetInfoReq { options: Some(options) }).await.unwrap_err();
        assert_missing(&refused, stream, Some("g"));
    }
    client.restart_subsystem(Empty {}).await.unwrap();
    let refused = client.list(ListReq { options: None }).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, "Exception was thrown by handler."));
    let refused = client.create(CreateReq { options: None }).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unimplemented, "Method is unimplemented."));
    server.shutdown().await;
}
