//! Clusters: which node is used, and what becomes of a reader whose node goes.

use std::net::SocketAddr;

use crate::support::cluster::*;
use crate::support::tls::opened;
use crate::support::*;
use client::{
    Connection, Direction, Expectation, From, MAX_MESSAGE_SIZE, Read, ReadLimits, Time, What, read_events,
};
use reader_core::{Start, State};
use tokio::net::TcpListener;
use wire::error::Error;
use wire::proto::gossip::member_info::VNodeState;

/// Pings that notice soon that nothing comes.
const BRISK: &str = "&keepAliveInterval=100&keepAliveTimeout=300&gossipTimeout=1";

fn connected(hosts: &str, keys: &str) -> Connection {
    opened(&format!("esdb+discover://{hosts}?tls=false{keys}")).expect("usable")
}

/// Nobody listens there.
async fn nowhere() -> SocketAddr {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    taken.local_addr().expect("bound")
}

async fn count(connection: &Connection) -> Result<usize, Error> {
    let (from, direction) = (From::Start, Direction::Forwards);
    let what = What::Stream { name: "s".into(), from };
    let read = Read { what, direction, count: 100_000, resolve_links: false };
    let limits = ReadLimits { message: MAX_MESSAGE_SIZE, page: None, timeout: None };
    Ok(read_events(connection, &read, limits).await?.map_or(0, |page| page.events.len()))
}

#[tokio::test]
async fn the_leader_is_found_by_any_node_that_answers() {
    let cluster = Cluster::of_three(3).await;
    cluster.lead(2);
    for seeds in [
        cluster.hosts(),
        cluster.address(1).to_string(),
        format!("{},{}", nowhere().await, cluster.address(0)),
        format!("nothing.invalid,localhost:{}", cluster.address(1).port()),
    ] {
        let before = cluster.calls(2);
        let connection = connected(&seeds, "");
        assert_eq!(count(&connection).await, Ok(3), "{seeds}");
        fill(&connection, "t", 1).await;
        assert_eq!((cluster.calls(0), cluster.calls(1), cluster.calls(2) - before), (0, 0, 2), "{seeds}");
    }
}

#[tokio::test]
async fn other_nodes_are_used_as_they_are_preferred() {
    let cluster = Cluster::of_three(3).await;
    for keys in ["&nodePreference=follower", "&nodePreference=readOnlyReplica"] {
        let connection = connected(&cluster.hosts(), keys);
        assert_eq!(count(&connection).await, Ok(3));
        assert_eq!(cluster.calls(0), 0);
    }
    let mut asked = 0;
    // by chance one of three: that it never is the leader happens once in 10^16
    while cluster.calls(0) == 0 {
        assert_eq!(count(&connected(&cluster.hosts(), "&nodePreference=random")).await, Ok(3));
        asked += 1;
        assert!(asked < 90);
    }
    // and the leader where there is nobody else
    cluster.become_(1, Health::Dead);
    cluster.become_(2, Health::Dead);
    let before = cluster.calls(0);
    let connection = connected(&cluster.address(0).to_string(), "&nodePreference=follower");
    assert_eq!(count(&connection).await, Ok(3));
    assert_eq!(cluster.calls(0), before + 1);
}

#[tokio::test]
async fn a_node_that_says_who_leads_is_believed_at_once_by_calls_and_subscriptions() {
    let cluster = Cluster::of_three(3).await;
    let connection = connected(&cluster.hosts(), "");
    assert_eq!(count(&connection).await, Ok(3));
    // what it tells of the cluster is old; what it answers to a call is not
    let old: Vec<_> = [VNodeState::Leader, VNodeState::Follower, VNodeState::Follower]
        .into_iter()
        .enumerate()
        .map(|(node, state)| cluster.member(node, state, true))
        .collect();
    for node in 0..3 {
        cluster.tell(node, Some(old.clone()));
    }
    cluster.lead(1);
    assert_eq!(count(&connection).await, Ok(3));
    fill(&connection, "s", 1).await;
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.events_until(3).await, [0, 1, 2, 3]);
    assert!(cluster.calls(1) >= 3);
    assert_eq!(cluster.calls(2), 0);
}

#[tokio::test]
async fn two_nodes_that_name_each_other_end_in_an_error_that_names_one() {
    let cluster = Cluster::of_three(1).await;
    let connection = connected(&cluster.hosts(), "");
    assert_eq!(count(&connection).await, Ok(1));
    // nobody is told to lead whom the world thinks to lead
    cluster.lead(1);
    cluster.become_(1, Health::Dead);
    let events = vec![event(b"1")];
    let stream = bytes::Bytes::from_static(b"s");
    let time = Time::Limited(std::time::Duration::from_secs(2));
    let failed =
        client::append(&connection, stream, Expectation::Any, events, time).await.expect_err("nobody");
    let text = failed.error.to_string();
    assert!(failed.error.retryable() && !text.is_empty(), "{text}");
    cluster.become_(1, Health::Well);
    fill(&connection, "s", 1).await;
}

#[tokio::test]
async fn a_reader_that_wants_the_leader_moves_when_its_node_stops_being_it() {
    let cluster = Cluster::of_three(3).await;
    let connection = connected(&cluster.hosts(), "");
    let mut running = subscribe(&connection, "s", Start::Beginning);
    running.until(Given::State(State::Subscribed)).await;
    cluster.lead(1);
    running.until(Given::Dropped).await;
    assert_eq!(running.error().reason(), "not_leader");
    running.until(Given::State(State::Subscribed)).await;
    assert_eq!((cluster.calls(1), cluster.calls(2)), (1, 0));
    fill(&connection, "s", 1).await;
    assert_eq!(running.events_until(3).await, [3]);
}

#[tokio::test]
async fn a_reader_whose_node_dies_or_freezes_goes_on_at_another() {
    for (health, keys) in [
        (Health::Dead, ""),
        (Health::Frozen, BRISK),
        (Health::Dead, "&nodePreference=follower"),
        (Health::Frozen, "&nodePreference=follower&keepAliveInterval=100&keepAliveTimeout=300"),
    ] {
        let cluster = Cluster::of_three(3).await;
        let connection = connected(&cluster.hosts(), keys);
        let mut running = subscribe(&connection, "s", Start::Beginning);
        running.until(Given::State(State::Subscribed)).await;
        let used = (0..3).find(|node| cluster.calls(*node) > 0).expect("one is used");
        cluster.become_(used, health);
        let other = (used + 1) % 3;
        if cluster.leader() == used {
            cluster.lead(other);
        }
        running.until(Given::State(State::Subscribed)).await;
        assert!(running.outlet.counts.borrow().reconnects >= 1, "{keys}");
        assert_eq!(cluster.calls(used), 1, "{keys}");
    }
}

#[tokio::test]
async fn a_cluster_without_a_node_to_use_is_a_named_error_and_is_asked_again() {
    let cluster = Cluster::of_three(1).await;
    let few = "&maxDiscoverAttempts=2&discoveryInterval=10";
    let followers: Vec<_> = (0..3).map(|node| cluster.member(node, VNodeState::Follower, true)).collect();
    let huge: Vec<_> = (1..5000_u16)
        .map(|port| member(SocketAddr::from(([127, 0, 0, 1], port)), VNodeState::Unknown, true))
        .collect();
    for (lie, part) in [(vec![], "knows of none"), (followers, "knows of none"), (huge, "knows of none")] {
        for node in 0..3 {
            cluster.tell(node, Some(lie.clone()));
        }
        let connection = connected(&cluster.hosts(), few);
        let error = count(&connection).await.expect_err("nobody leads");
        let text = error.to_string();
        assert_eq!((error.reason(), error.retryable()), ("unavailable", true), "{text}");
        assert!(text.contains("that leads was found in 2 attempts") && text.contains(part), "{text}");
        assert!(text.len() < 1000, "{text}");
        let mut running = subscribe(&connection, "s", Start::Beginning);
        running.until(Given::Dropped).await;
        for node in 0..3 {
            cluster.tell(node, None);
        }
        assert_eq!(running.events_until(0).await, [0]);
    }
    let address = nowhere().await;
    let keys = format!("{few}&gossipTimeout=1");
    let error = count(&connected(&format!("nothing.invalid,{address}"), &keys)).await.expect_err("nobody");
    let text = error.to_string();
    for part in ["nothing.invalid:2113: ", &address.to_string(), "refused"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[tokio::test]
async fn gossip_that_lies_of_who_lives_and_who_leads_is_seen_through() {
    let cluster = Cluster::of_three(2).await;
    let dead = nowhere().await;
    cluster.lead(1);
    let lie = vec![
        member(dead, VNodeState::Leader, true),
        cluster.member(0, VNodeState::Follower, true),
        cluster.member(0, VNodeState::Leader, true),
        cluster.member(2, VNodeState::Leader, true),
    ];
    cluster.tell(0, Some(lie));
    let connection = connected(&cluster.address(0).to_string(), "");
    assert_eq!(count(&connection).await, Ok(2));
    assert_eq!((cluster.calls(0), cluster.calls(2)), (0, 0));
}

/// What a schedule does to the cluster, over and over.
fn disturb(cluster: &Cluster, chance: &mut fastrand::Rng) {
    let leader = cluster.leader();
    let other = (leader + chance.usize(1..3)) % 3;
    for node in 0..3 {
        cluster.become_(node, Health::Well);
    }
    match chance.u8(..3) {
        0 => cluster.become_(leader, Health::Dead),
        1 => cluster.become_(leader, Health::Frozen),
        _ => {}
    }
    cluster.lead(other);
}

#[tokio::test]
async fn through_moves_of_every_kind_no_event_is_lost_or_doubled() {
    const LAST: u64 = 19_999;
    let seed = std::env::var("PENSTOCK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let cluster = Cluster::of_three(20_000).await;
    for preference in ["leader", "follower", "random"] {
        println!("PENSTOCK_SEED={seed} {preference}");
        let mut chance = fastrand::Rng::with_seed(seed);
        let connection = connected(&cluster.hosts(), &format!("{BRISK}&nodePreference={preference}"));
        let mut running = subscribe_with_room(&connection, "s", Start::Beginning, 4);
        let (mut events, mut next) = (Vec::new(), chance.usize(1..4000));
        while events.last() != Some(&LAST) {
            if let Given::Event(revision) = running.next().await {
                events.push(revision);
                if events.len() >= next {
                    disturb(&cluster, &mut chance);
                    next += chance.usize(1..4000);
                }
            }
            running.outlet.rooms.add_permits(usize::from(running.outlet.rooms.available_permits() < 2));
        }
        assert_eq!(events, (0..=LAST).collect::<Vec<_>>());
        for node in 0..3 {
            cluster.become_(node, Health::Well);
        }
    }
}

#[tokio::test]
#[ignore = "measures, for figures: how long a reader is without events when its node is killed"]
async fn how_long_a_reader_is_without_events_when_its_node_is_killed() {
    let mut times = Vec::new();
    for _ in 0..21 {
        let cluster = Cluster::of_three(1).await;
        let connection = connected(&cluster.hosts(), "&nodePreference=follower");
        let mut running = subscribe(&connection, "s", Start::Beginning);
        running.until(Given::State(State::Subscribed)).await;
        let used = (0..3).find(|node| cluster.calls(*node) > 0).expect("one is used");
        let began = std::time::Instant::now();
        cluster.become_(used, Health::Dead);
        // what is appended everywhere comes from whoever is next
        cluster.append_everywhere().await;
        running.until(Given::Event(1)).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("median {:?}, most {:?}", times.get(10), times.last());
}
