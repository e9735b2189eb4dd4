use fastrand::Rng;
use proptest::prelude::*;

use super::*;

fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "10.0.0.1".into(), port }
}

fn member(port: u16, state: VNodeState, is_alive: bool) -> Member {
    Member { endpoint: endpoint(port), state, is_alive }
}

/// What nodes are, and what each of them tells.
#[derive(Debug, Clone)]
struct World {
    /// By port: whether it answers, and its list.
    nodes: BTreeMap<u16, (bool, Vec<Member>)>,
    seeds: Vec<u16>,
}

/// Asks around until there is a decision; the order of the answers is up to chance.
fn search(world: &World, preference: NodePreference, seed: u64) -> (Decision, usize) {
    let mut search = Search::new(preference, BTreeMap::new(), seed);
    let mut chance = Rng::with_seed(seed);
    for seed in &world.seeds {
        search.seed(Peer::of(endpoint(*seed)));
    }
    let (mut waiting, mut asked) = (Vec::new(), 0);
    loop {
        match search.decide(chance.u8(..) < 20) {
            Decision::Wait => {}
            decision => return (decision, asked),
        }
        let more = search.ask();
        asked += more.len();
        waiting.extend(more);
        assert!(!waiting.is_empty(), "it waits for nobody");
        let peer = waiting.swap_remove(chance.usize(..waiting.len()));
        match world.nodes.get(&peer.host.port) {
            Some((true, members)) => search.told(&peer, members),
            _ => search.failed(&peer),
        }
    }
}

fn state() -> impl Strategy<Value = VNodeState> {
    use VNodeState::*;
    prop::sample::select(vec![
        Leader,
        Follower,
        ReadOnlyReplica,
        Unknown,
        PreLeader,
        ResigningLeader,
        Shutdown,
    ])
}

fn preference() -> impl Strategy<Value = NodePreference> {
    use NodePreference::*;
    prop::sample::select(vec![Leader, Follower, Random, ReadOnlyReplica])
}

/// Whatever lies there can be: dead nodes as alive, several leaders, a node twice, nothing, a great deal.
fn world() -> impl Strategy<Value = World> {
    let list = prop_oneof![
        9 => prop::collection::vec((1_u16..9, state(), any::<bool>()), 0..8),
        1 => prop::collection::vec((0_u16..2000, state(), any::<bool>()), 200..300),
    ];
    let list = list.prop_map(|all| {
        all.into_iter().map(|(port, state, is_alive)| member(port, state, is_alive)).collect::<Vec<_>>()
    });
    let nodes = prop::collection::btree_map(1_u16..9, (any::<bool>(), list), 0..8);
    (nodes, prop::collection::vec(1_u16..9, 1..4)).prop_map(|(nodes, seeds)| World { nodes, seeds })
}

proptest! {
    #[test]
    fn whatever_nodes_tell_the_search_ends_with_one_that_answers_and_serves_by_its_own_word_or_with_nobody(
        world in world(), preference in preference(), seed in any::<u64>(),
    ) {
        let (decision, asked) = search(&world, preference, seed);
        prop_assert!(asked <= ASKED);
        if let Decision::Use(used) = decision {
            let (answers, members) = world.nodes.get(&used.port).expect("a node");
            prop_assert!(answers);
            if let Some(own) = members.iter().take(MEMBERS).find(|member| member.endpoint == used) {
                prop_assert!(class(own.state, preference).is_some());
            }
        }
    }

    #[test]
    fn a_leader_that_every_node_knows_is_found_though_others_are_dead(
        leader in 1_u16..6, dead in prop::collection::btree_set(1_u16..6, 0..4), first in 1_u16..6, seed in any::<u64>(),
    ) {
        let dead: Vec<u16> = dead.into_iter().filter(|port| *port != leader).collect();
        let state = |port: u16| if port == leader { VNodeState::Leader } else { VNodeState::Follower };
        let list: Vec<Member> = (1..6).map(|port| member(port, state(port), true)).collect();
        let nodes = (1..6).map(|port| (port, (!dead.contains(&port), list.clone()))).collect();
        let seeds = vec![first, leader % 5 + 1, leader];
        let (decision, _) = search(&World { nodes, seeds }, NodePreference::Leader, seed);
        prop_assert_eq!(decision, Decision::Use(endpoint(leader)));
    }

    #[test]
    fn a_follower_is_preferred_to_the_leader_and_the_leader_to_nobody(seed in any::<u64>(), alive in any::<bool>()) {
        let list = vec![member(1, VNodeState::Leader, true), member(2, VNodeState::Follower, true)];
        let nodes = BTreeMap::from([(1, (true, list.clone())), (2, (alive, list))]);
        let mut search = Search::new(NodePreference::Follower, BTreeMap::new(), seed);
        search.seed(Peer::of(endpoint(1)));
        let mut decision = Decision::Wait;
        while decision == Decision::Wait {
            for peer in search.ask() {
                match &nodes[&peer.host.port] {
                    (true, members) => search.told(&peer, members),
                    (false, _) => search.failed(&peer),
                }
            }
            decision = search.decide(false);
        }
        prop_assert_eq!(decision, Decision::Use(endpoint(if alive { 2 } else { 1 })));
    }
}

#[test]
fn every_node_is_chosen_by_chance() {
    let list: Vec<_> = (1..4).map(|port| member(port, VNodeState::Follower, true)).collect();
    let nodes = (1..4).map(|port| (port, (true, list.clone()))).collect();
    let world = World { nodes, seeds: vec![1] };
    let chosen: BTreeSet<u16> = (0..200)
        .filter_map(|seed| match search(&world, NodePreference::Random, seed).0 {
            Decision::Use(endpoint) => Some(endpoint.port),
            Decision::Wait | Decision::Nobody => None,
        })
        .collect();
    assert_eq!(chosen, BTreeSet::from([1, 2, 3]));
}

#[test]
fn of_two_leaders_the_one_is_used_that_leads_by_its_own_word() {
    let lie = vec![member(1, VNodeState::Leader, true), member(2, VNodeState::Leader, true)];
    let truth = vec![member(1, VNodeState::Follower, true), member(2, VNodeState::Leader, true)];
    let nodes = BTreeMap::from([(1, (true, truth.clone())), (2, (true, truth)), (3, (true, lie))]);
    for seed in 0..50 {
        let world = World { nodes: nodes.clone(), seeds: vec![3] };
        assert_eq!(search(&world, NodePreference::Leader, seed).0, Decision::Use(endpoint(2)));
    }
}

#[test]
fn a_node_that_failed_is_used_when_there_is_no_other() {
    let list = vec![member(1, VNodeState::Follower, true), member(2, VNodeState::Follower, true)];
    for (failing, used) in [(vec![1], 2), (vec![2], 1), (vec![1, 1, 2], 2)] {
        let mut failures = BTreeMap::new();
        for port in failing {
            *failures.entry(endpoint(port)).or_default() += 1;
        }
        let mut search = Search::new(NodePreference::Random, failures, 1);
        for port in [1, 2] {
            search.seed(Peer::of(endpoint(port)));
        }
        for peer in search.ask() {
            search.told(&peer, &list);
        }
        assert_eq!(search.decide(false), Decision::Use(endpoint(used)));
    }
}

#[test]
fn a_seed_by_name_knows_itself_by_its_address_and_is_used_by_what_it_is_called() {
    let mut search = Search::new(NodePreference::Leader, BTreeMap::new(), 1);
    let seed = Peer {
        host: Endpoint { host: "cluster.example".into(), port: 7 },
        ip: Some("10.0.0.1:7".parse().expect("an address")),
    };
    search.seed(seed.clone());
    assert_eq!(search.ask(), std::slice::from_ref(&seed));
    search.told(&seed, &[member(7, VNodeState::Leader, true)]);
    assert_eq!(search.decide(false), Decision::Use(endpoint(7)));
}

#[test]
fn what_is_no_address_is_passed_over() {
    let mut search = Search::new(NodePreference::Leader, BTreeMap::new(), 1);
    let seed = Peer::of(endpoint(1));
    search.seed(seed.clone());
    search.ask();
    let wrong = [("", 1), ("a b", 1), ("h", 0), ("h/x", 1)];
    let members: Vec<_> = wrong
        .iter()
        .map(|(host, port)| Member {
            endpoint: Endpoint { host: (*host).into(), port: *port },
            state: VNodeState::Leader,
            is_alive: true,
        })
        .collect();
    search.told(&seed, &members);
    assert_eq!((search.ask(), search.decide(false)), (vec![], Decision::Nobody));
}

#[test]
fn a_node_is_left_when_it_serves_no_longer_and_knows_who_does() {
    use NodePreference::{Follower, Leader};
    let list = |one, other| vec![member(1, one, true), member(2, other, true)];
    for (members, preference, unfit) in [
        (list(VNodeState::Leader, VNodeState::Follower), Leader, false),
        (list(VNodeState::Follower, VNodeState::Leader), Leader, true),
        (list(VNodeState::ResigningLeader, VNodeState::Follower), Leader, false),
        (list(VNodeState::Leader, VNodeState::Leader), Leader, false),
        (list(VNodeState::Leader, VNodeState::Follower), Follower, false),
        (list(VNodeState::Unknown, VNodeState::Follower), Follower, true),
        (vec![member(2, VNodeState::Leader, true)], Leader, false),
        (vec![], Leader, false),
    ] {
        assert_eq!(is_unfit(&endpoint(1), &members, preference), unfit, "{members:?}");
    }
}
