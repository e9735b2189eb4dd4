//! Three servers of one process that share what is written.

use std::time::Duration;

use server::{Cluster, Options, Server};
use tonic::{Code, Request, Status};
use wire::proto::Empty;
use wire::proto::gossip::gossip_client::GossipClient;
use wire::proto::gossip::member_info::VNodeState;
use wire::proto::streams::{ReadResp, read_resp};

use crate::common::{Client, all, any, append, client, event, read};
use crate::options;

async fn three() -> Vec<Server> {
    let cluster = Cluster::new();
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start(Options { cluster: Some(cluster.clone()), ..options() }).await.unwrap());
    }
    servers
}

async fn of(server: &Server) -> Client {
    client(&server.local_addr().to_string()).await
}

/// What a node says of all of them: their states, and whether they are alive.
async fn gossip(server: &Server) -> Vec<(VNodeState, bool)> {
    let mut client = GossipClient::connect(format!("http://{}", server.local_addr())).await.unwrap();
    let members = client.read(Empty {}).await.unwrap().into_inner().members;
    members.into_iter().map(|member| (member.state(), member.is_alive)).collect()
}

/// Waits until a node says that somebody leads, other than the one named; which one that is.
async fn led(server: &Server, not: usize) -> usize {
    let led = async {
        loop {
            let members = gossip(server).await;
            let leads = |(index, (state, alive)): (usize, &(VNodeState, bool))| {
                (index != not && *state == VNodeState::Leader && *alive).then_some(index)
            };
            if let Some(leader) = members.iter().enumerate().find_map(leads) {
                return leader;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), led).await.unwrap()
}

fn leading<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("requires-leader", "true".parse().unwrap());
    request
}

fn assert_not_leader(status: &Status, leader: &Server) {
    assert_eq!((status.code(), status.message()), (Code::NotFound, "Leader info available"));
    let trailer = |key| status.metadata().get(key).unwrap().to_str().unwrap().to_owned();
    assert_eq!(trailer("exception"), "not-leader");
    assert_eq!(trailer("leader-endpoint-host"), "127.0.0.1");
    assert_eq!(trailer("leader-endpoint-port"), leader.local_addr().port().to_string());
}

async fn next_event(answers: &mut tonic::Streaming<ReadResp>) -> u64 {
    let next = async {
        loop {
            let message = answers.message().await.unwrap().unwrap();
            if let Some(read_resp::Content::Event(event)) = message.content {
                return event.event.unwrap().stream_revision;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_answer_as_real_ones_do() {
    let servers = three().await;
    let (mut leader, mut follower) = (of(&servers[0]).await, of(&servers[1]).await);
    let states = [VNodeState::Leader, VNodeState::Follower, VNodeState::Follower];
    for server in &servers {
        assert_eq!(gossip(server).await, states.map(|state| (state, true)));
    }
    assert_eq!(append(&mut leader, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 0);
    assert_eq!(append(&mut follower, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 1);
    let everywhere = all(&mut leader, "s").await;
    assert_eq!(everywhere.len(), 2);
    assert_eq!(all(&mut follower, "s").await, everywhere);

    assert!(leader.read(leading(read("s", Some(1)))).await.is_ok());
    assert_not_leader(&follower.read(leading(read("s", Some(1)))).await.unwrap_err(), &servers[0]);
    let mut answers = follower.read(leading(read("s", None))).await.unwrap().into_inner();
    let first = answers.message().await.unwrap().unwrap().content;
    assert!(matches!(first, Some(read_resp::Content::Confirmation(_))), "{first:?}");
    assert_not_leader(&answers.message().await.unwrap_err(), &servers[0]);
    for server in servers {
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_leads_after_the_leader_was_killed_and_has_all_that_was_acknowledged() {
    let servers = three().await;
    let mut follower = of(&servers[1]).await;
    let mut answers = follower.read(read("s", None)).await.unwrap().into_inner();
    for revision in 0..20 {
        assert_eq!(
            append(&mut of(&servers[0]).await, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(),
            revision
        );
        assert_eq!(next_event(&mut answers).await, revision);
    }
    let mut dying = of(&servers[0]).await.read(read("s", None)).await.unwrap().into_inner();
    servers[0].control().kill();
    // What was sent is still read, and then the connection is gone.
    while let Ok(Some(_)) = dying.message().await {}
    // It waits until somebody leads.
    assert_eq!(append(&mut follower, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 20);
    assert_eq!(next_event(&mut answers).await, 20);
    let leader = led(&servers[1], 0).await;
    assert_eq!(gossip(&servers[1]).await[0], (VNodeState::Unknown, false));
    assert_eq!(all(&mut of(&servers[leader]).await, "s").await.len(), 21);
    assert_eq!(servers[leader].control().state(), "leader");
    servers[leader].control().kill();
    let mut last = of(&servers[3 - leader]).await;
    let mut request = tonic::Request::new(read("s", Some(1)));
    request.metadata_mut().insert("requires-leader", "true".parse().unwrap());
    let alone = last.read(request).await.unwrap_err();
    assert_eq!(
        (alone.code(), alone.message()),
        (Code::Unavailable, "Server Is Not Ready"),
        "no majority is left"
    );
    assert_eq!(all(&mut last, "s").await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_resigns_goes_on_to_serve_and_its_subscriptions_hear_nothing_of_it() {
    let servers = three().await;
    let mut former = of(&servers[0]).await;
    let mut answers = former.read(leading(read("s", None))).await.unwrap().into_inner();
    append(&mut former, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    assert_eq!(next_event(&mut answers).await, 0);
    servers[0].control().resign();
    let leader = led(&servers[0], 0).await;
    assert_eq!(append(&mut former, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 1);
    assert_eq!(next_event(&mut answers).await, 1);
    assert_not_leader(&former.read(leading(read("s", Some(1)))).await.unwrap_err(), &servers[leader]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stands_still_is_replaced_and_goes_on_as_a_follower_with_what_it_missed() {
    let servers = three().await;
    let mut frozen = of(&servers[0]).await;
    let mut answers = frozen.read(read("s", None)).await.unwrap().into_inner();
    append(&mut frozen, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap();
    assert_eq!(next_event(&mut answers).await, 0);
    servers[0].control().freeze();
    let mut other = of(&servers[1]).await;
    assert_eq!(append(&mut other, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 1);
    let leader = led(&servers[1], 0).await;
    // It is silent, with the connection open.
    let silent = tokio::time::timeout(Duration::from_millis(200), answers.message()).await;
    assert!(
        !matches!(silent, Ok(Ok(Some(ReadResp { content: Some(read_resp::Content::Event(_)) })))),
        "{silent:?}"
    );
    servers[0].control().thaw().await.unwrap();
    assert_eq!(next_event(&mut answers).await, 1);
    assert_eq!(servers[0].control().state(), "follower");
    assert_eq!(append(&mut frozen, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 2);
    assert_not_leader(&frozen.read(leading(read("s", Some(1)))).await.unwrap_err(), &servers[leader]);
}
