//! Which node of a cluster is used: decided from what nodes tell of each other, without sockets or a clock.
//!
//! What a node says of others is a claim: dead nodes stand there as alive, and the same node may lead in one answer and
//! follow in the next. So a node is used only when it has answered itself, and its own word on its state counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use fastrand::Rng;
use wire::connection_string::{Endpoint, NodePreference};
use wire::proto::gossip::member_info::VNodeState;

/// So many members of one answer are looked at; clusters have a dozen nodes at most.
const MEMBERS: usize = 64;
/// So many nodes are asked in one search.
const ASKED: usize = 24;
/// So many that fit are asked at a time.
const AT_ONCE: usize = 3;

/// Who can be asked for the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer {
    pub(crate) host: Endpoint,
    /// Which of its host's addresses is meant; `None`: any that answers.
    pub(crate) ip: Option<SocketAddr>,
}

impl Peer {
    /// A node at whatever address its host has.
    pub(crate) fn of(host: Endpoint) -> Self {
        Self { host, ip: None }
    }

    fn is(&self, endpoint: &Endpoint) -> bool {
        *endpoint == self.host || self.ip.is_some_and(|ip| ip_of(endpoint) == Some(ip))
    }
}

fn ip_of(endpoint: &Endpoint) -> Option<SocketAddr> {
    endpoint.host.parse().ok().map(|ip| SocketAddr::new(ip, endpoint.port))
}

/// A node, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) endpoint: Endpoint,
    pub(crate) state: VNodeState,
    pub(crate) is_alive: bool,
}

/// What a search has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// This node.
    Use(Endpoint),
    /// Answers are still to come, or peers to be asked.
    Wait,
    /// There is none.
    Nobody,
}

/// How well a node in this state serves; `None`: not at all. Lower is better.
fn class(state: VNodeState, preference: NodePreference) -> Option<u8> {
    use VNodeState::{Follower, Leader, ReadOnlyLeaderless, ReadOnlyReplica};
    match (preference, state) {
        (NodePreference::Leader | NodePreference::Random, Leader)
        | (NodePreference::Follower, Follower)
        | (NodePreference::ReadOnlyReplica, ReadOnlyReplica)
        | (NodePreference::Random, Follower | ReadOnlyReplica) => Some(0),
        (NodePreference::Follower, Leader) | (NodePreference::ReadOnlyReplica, Follower) => Some(1),
        (NodePreference::Follower, ReadOnlyReplica) | (NodePreference::ReadOnlyReplica, Leader) => Some(2),
        (NodePreference::ReadOnlyReplica, ReadOnlyLeaderless) => Some(3),
        _ => None,
    }
}

/// Whether a node that is used has to be left, by what it says itself: it does not serve as is wished, and knows one that
/// does.
pub(crate) fn is_unfit(used: &Endpoint, members: &[Member], preference: NodePreference) -> bool {
    let own = members.iter().find(|member| member.endpoint == *used);
    let fits = |member: &Member| class(member.state, preference).is_some();
    own.is_some_and(|own| !fits(own))
        && members.iter().any(|member| member.is_alive && member.endpoint != *used && fits(member))
}

/// What others say of a node.
#[derive(Debug)]
struct Claim {
    states: BTreeMap<VNodeState, usize>,
    /// Chance, so that clients spread over nodes that are alike.
    order: u64,
}

/// Where the asking of a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Waiting,
    Failed,
    Answered,
}

/// One look for a node.
#[derive(Debug)]
pub(crate) struct Search {
    preference: NodePreference,
    /// How often calls to a node failed of late.
    failures: BTreeMap<Endpoint, u32>,
    chance: Rng,
    unasked: BTreeSet<Peer>,
    asked: BTreeMap<Peer, Asking>,
    claims: BTreeMap<Endpoint, Claim>,
    /// What nodes say of themselves.
    own: BTreeMap<Endpoint, VNodeState>,
}

impl Search {
    pub(crate) fn new(preference: NodePreference, failures: BTreeMap<Endpoint, u32>, seed: u64) -> Self {
        Self {
            preference,
            failures,
            chance: Rng::with_seed(seed),
            unasked: BTreeSet::new(),
            asked: BTreeMap::new(),
            claims: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// Somebody who may know the nodes.
    pub(crate) fn seed(&mut self, peer: Peer) {
        if !self.asked.contains_key(&peer) {
            self.unasked.insert(peer);
        }
    }

    /// Who is to be asked now; each is told of once, and answers with [`Search::told`] or [`Search::failed`].
    pub(crate) fn ask(&mut self) -> Vec<Peer> {
        let room = ASKED.saturating_sub(self.asked.len());
        let mut asked: Vec<Peer> = std::mem::take(&mut self.unasked).into_iter().take(room).collect();
        let fit: Vec<Endpoint> = self.ranked().into_iter().map(|(endpoint, _)| endpoint.clone()).collect();
        let fit = fit.into_iter().filter(|endpoint| self.is_new(endpoint)).take(AT_ONCE).map(Peer::of);
        asked.extend(fit);
        if asked.is_empty() && !self.asked.values().any(|asking| *asking == Asking::Waiting) {
            // who does not serve may know who does
            let others = self.claims.keys().filter(|endpoint| self.is_new(endpoint));
            asked.extend(others.cloned().map(Peer::of));
        }
        asked.truncate(room);
        self.asked.extend(asked.iter().map(|peer| (peer.clone(), Asking::Waiting)));
        asked
    }

    fn is_new(&self, endpoint: &Endpoint) -> bool {
        !self.own.contains_key(endpoint) && !self.asked.contains_key(&Peer::of(endpoint.clone()))
    }

    /// A peer has told of its cluster.
    pub(crate) fn told(&mut self, by: &Peer, members: &[Member]) {
        self.asked.insert(by.clone(), Asking::Answered);
        let mut seen = BTreeSet::new();
        for member in members.iter().take(MEMBERS) {
            // of a node that is told of twice, the first word counts
            if !is_address(&member.endpoint) || !seen.insert(&member.endpoint) {
                continue;
            }
            if by.is(&member.endpoint) {
                self.own.insert(member.endpoint.clone(), member.state);
            } else if !member.is_alive {
                continue;
            }
            let order = self.chance.u64(..);
            let claim = self
                .claims
                .entry(member.endpoint.clone())
                .or_insert_with(|| Claim { states: BTreeMap::new(), order });
            *claim.states.entry(member.state).or_default() += 1;
        }
    }

    /// A peer gave no answer.
    pub(crate) fn failed(&mut self, by: &Peer) {
        self.asked.insert(by.clone(), Asking::Failed);
    }

    /// What follows from the answers so far; `hurried`: the best node is not waited for where another has answered.
    pub(crate) fn decide(&self, hurried: bool) -> Decision {
        let mut pending = !self.unasked.is_empty() || self.asked.values().any(|it| *it == Asking::Waiting);
        for (endpoint, _) in self.ranked() {
            let answered = self.own.contains_key(endpoint);
            match self.asked.get(&Peer::of(endpoint.clone())) {
                // it does not find itself in its own answer, but there it is
                _ if answered => return Decision::Use(endpoint.clone()),
                Some(Asking::Answered) => return Decision::Use(endpoint.clone()),
                Some(Asking::Failed) => {}
                Some(Asking::Waiting) if hurried => pending = true,
                None if self.asked.len() >= ASKED => {}
                Some(Asking::Waiting) | None => return Decision::Wait,
            }
        }
        let unknown = self.claims.keys().any(|endpoint| self.is_new(endpoint));
        if pending || (unknown && self.asked.len() < ASKED) { Decision::Wait } else { Decision::Nobody }
    }

    /// The nodes that may serve, the best one first.
    fn ranked(&self) -> Vec<(&Endpoint, impl Ord)> {
        let mut ranked: Vec<_> = self
            .claims
            .iter()
            .filter_map(|(endpoint, claim)| {
                let (class, votes) = match self.own.get(endpoint) {
                    Some(state) => (class(*state, self.preference)?, claim.states.get(state).copied()),
                    None => claim
                        .states
                        .iter()
                        .filter_map(|(state, votes)| Some((class(*state, self.preference)?, Some(*votes))))
                        .min_by_key(|(class, votes)| (*class, Reverse(*votes)))?,
                };
                let failures = self.failures.get(endpoint).copied().unwrap_or_default();
                // only of leaders there should be one
                let votes = if self.preference == NodePreference::Leader { votes } else { None };
                Some((endpoint, (failures, class, Reverse(votes), claim.order)))
            })
            .collect();
        ranked.sort_by_key(|(_, rank)| *rank);
        ranked
    }
}

fn is_address(endpoint: &Endpoint) -> bool {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    endpoint.port > 0 && (1..=253).contains(&endpoint.host.len()) && endpoint.host.bytes().all(named)
}

#[cfg(test)]
mod tests;
