//! Clusters for tests: servers of one process that share what is written.
//!
//! There is one leader. Whatever is written is written to it, and to every follower that is there before anybody is
//! answered, so nothing that was acknowledged is lost with a node. Nothing goes over a network for that: it is no
//! replication for production.
//!
//! What others see of it is as with real nodes: who leads, who is gone, how long it takes until somebody else leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::{Answer, Command, Fault};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use wire::proto::gossip::member_info::VNodeState;

use crate::engine::Engine;
use crate::time::now;

/// How long others take to notice that a leader is dead, or only silent, and to agree on another one.
const DEAD: Duration = Duration::from_millis(300);
const SILENT: Duration = Duration::from_secs(1);
/// How long a leader that resigns, and then the one that follows it, are on their way.
const RESIGNING: Duration = Duration::from_millis(100);
/// How long a write waits for a leader.
const PATIENCE: Duration = Duration::from_secs(5);

/// Servers that are started with clones of one cluster are its nodes: the first one leads. They are to be of one process
/// and one runtime, and keep their events in memory.
#[derive(Clone, Debug, Default)]
pub struct Cluster(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Changes with what is known of the nodes.
    changed: watch::Sender<()>,
    /// Held by whoever writes, or brings a node up to date.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    /// How often somebody lost or won the lead: what was planned before is out of date.
    term: u64,
}

/// A node, as all of them know it.
#[derive(Clone)]
pub struct Member {
    /// Its id.
    pub instance: Uuid,
    /// Where it is found.
    pub address: (String, u16),
    /// What it is.
    pub state: VNodeState,
    /// Whether others hear of it.
    pub alive: bool,
    /// When they last did.
    pub seen: u64,
    frozen: bool,
    engine: Arc<Engine>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Member").field("address", &self.address).field("state", &self.state).finish()
    }
}

impl Member {
    fn leads(&self) -> bool {
        self.state == VNodeState::Leader && self.is_there()
    }

    fn is_there(&self) -> bool {
        self.alive && !self.frozen
    }
}

/// The place of a node in its cluster.
#[derive(Clone, Debug)]
pub struct Seat {
    cluster: Cluster,
    index: usize,
}

impl Cluster {
    /// A cluster without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, with what the others have.
    pub(crate) async fn join(
        &self,
        instance: Uuid,
        address: (String, u16),
        engine: Arc<Engine>,
    ) -> Result<Seat, Fault> {
        let _turn = self.0.writing.lock().await;
        let leader =
            self.lock().members.iter().find(|member| member.leads()).map(|leader| leader.engine.clone());
        let state = match leader {
            Some(leader) => {
                engine.copy(&leader)?;
                VNodeState::Follower
            }
            None => VNodeState::Leader,
        };
        let mut shared = self.lock();
        let index = shared.members.len();
        shared.members.push(Member {
            instance,
            address,
            state,
            alive: true,
            seen: now(),
            frozen: false,
            engine,
        });
        drop(shared);
        self.tell();
        Ok(Seat { cluster: self.clone(), index })
    }

    fn members(&self) -> Vec<Member> {
        let now = now();
        let mut members = self.lock().members.clone();
        for member in members.iter_mut().filter(|member| member.is_there()) {
            member.seen = now;
        }
        members
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.0.changed.send_replace(());
    }

    /// Changes what is known of a node, and what has to follow from that does so later.
    fn change(&self, index: usize, change: impl FnOnce(&mut Member)) -> Option<u64> {
        let mut state = self.lock();
        let member = state.members.get_mut(index)?;
        let led = member.state == VNodeState::Leader;
        change(member);
        let lost = led && !member.leads();
        let leaderless = !state.members.iter().any(Member::leads);
        if lost || leaderless {
            state.term += 1;
        }
        let term = state.term;
        drop(state);
        self.tell();
        leaderless.then_some(term)
    }

    /// Has somebody lead in a while, unless something else happens first.
    fn elect(&self, after: Duration, term: u64, not: Option<usize>) {
        let cluster = self.clone();
        tokio::spawn(async move {
            sleep(after).await;
            let Some(next) = cluster.candidate(term, not) else { return };
            cluster.change_all(|index, member| {
                member.state = match member.is_there() {
                    true if index == next => VNodeState::PreLeader,
                    true => VNodeState::PreReplica,
                    false => VNodeState::Unknown,
                };
            });
            sleep(RESIGNING).await;
            let _turn = cluster.0.writing.lock().await;
            if cluster.candidate(term, not) != Some(next) {
                return;
            }
            cluster.change_all(|index, member| {
                member.state = match member.is_there() {
                    true if index == next => VNodeState::Leader,
                    true => VNodeState::Follower,
                    false => VNodeState::Unknown,
                };
            });
        });
    }

    /// Who is to lead: somebody among the most who are there, and who has all that was written.
    fn candidate(&self, term: u64, not: Option<usize>) -> Option<usize> {
        let state = self.lock();
        if state.term != term {
            return None;
        }
        let there = state.members.iter().enumerate().filter(|(_, member)| member.is_there());
        let there: Vec<_> = there.map(|(index, member)| (index, member.engine.head_now())).collect();
        if there.len() * 2 <= state.members.len() {
            return None;
        }
        let head = there.iter().map(|(_, head)| *head).max()?;
        let mut able = there.iter().filter(|(_, there)| *there == head).map(|(index, _)| *index);
        let first = able.clone().next();
        able.find(|index| Some(*index) != not).or(first)
    }

    fn change_all(&self, mut change: impl FnMut(usize, &mut Member)) {
        let mut state = self.lock();
        for (index, member) in state.members.iter_mut().enumerate() {
            change(index, member);
        }
        drop(state);
        self.tell();
    }
}

impl Seat {
    /// All nodes, in the order in which they came.
    pub fn members(&self) -> Vec<Member> {
        self.cluster.members()
    }

    /// What this node is.
    pub fn state(&self) -> VNodeState {
        self.cluster.lock().members.get(self.index).map_or(VNodeState::Shutdown, |member| member.state)
    }

    /// Where the leader is found, if that is not this node; nothing if there is none.
    ///
    /// # Errors
    /// When it is this node.
    pub fn leader_elsewhere(&self) -> Result<Option<(String, u16)>, Leading> {
        let state = self.cluster.lock();
        match state.members.iter().enumerate().find(|(_, member)| member.leads()) {
            Some((index, _)) if index == self.index => Err(Leading),
            leader => Ok(leader.map(|(_, leader)| leader.address.clone())),
        }
    }

    /// Writes to the leader, and to all others that are there. Waits for a leader, and for as long as this node is frozen.
    pub async fn write(&self, command: Command, deadline: Option<Instant>) -> Result<Answer, Fault> {
        let given_up = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        let written = tokio::time::timeout_at(given_up, self.written(&command, deadline));
        written.await.unwrap_or(Err(if deadline.is_some() { Fault::Late } else { Fault::NotReady }))
    }

    async fn written(&self, command: &Command, deadline: Option<Instant>) -> Result<Answer, Fault> {
        let mut changed = self.cluster.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let turn = self.cluster.0.writing.lock().await;
            if let Some((leader, others)) = self.writers()? {
                // From here on nobody is waited for: nothing is written by halves.
                let answer = leader.write(command.clone(), None, deadline).await;
                for other in others {
                    other.copy(&leader)?;
                }
                return answer;
            }
            drop(turn);
            if changed.changed().await.is_err() {
                return Err(Fault::NotReady);
            }
        }
    }

    /// Who is written to, if somebody leads and this node is not frozen.
    #[allow(clippy::type_complexity, reason = "one leader and the others")]
    fn writers(&self) -> Result<Option<(Arc<Engine>, Vec<Arc<Engine>>)>, Fault> {
        let state = self.cluster.lock();
        let own = state.members.get(self.index).filter(|member| member.alive).ok_or(Fault::NotReady)?;
        if own.frozen {
            return Ok(None);
        }
        let Some(leader) = state.members.iter().find(|member| member.leads()) else { return Ok(None) };
        let others = state.members.iter().filter(|member| member.is_there() && !member.leads());
        Ok(Some((leader.engine.clone(), others.map(|member| member.engine.clone()).collect())))
    }

    /// This node is dead.
    pub fn die(&self) {
        let leaderless = self.cluster.change(self.index, |member| {
            (member.alive, member.state, member.seen) = (false, VNodeState::Unknown, now());
        });
        if let Some(term) = leaderless {
            self.cluster.elect(DEAD, term, None);
        }
    }

    /// This node stands still.
    pub fn freeze(&self) {
        let leaderless = self.cluster.change(self.index, |member| {
            (member.frozen, member.seen) = (true, now());
        });
        if let Some(term) = leaderless {
            self.cluster.elect(SILENT, term, None);
        }
    }

    /// This node goes on, with what was written meanwhile.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn thaw(&self) -> Result<(), Fault> {
        let _turn = self.cluster.0.writing.lock().await;
        let leader = self.cluster.lock().members.iter().find(|member| member.leads()).cloned();
        let own = self.cluster.lock().members.get(self.index).cloned().ok_or(Fault::NotReady)?;
        if let Some(leader) = &leader {
            own.engine.copy(&leader.engine)?;
        }
        let leaderless = self.cluster.change(self.index, |member| {
            member.frozen = false;
            if leader.is_some() {
                member.state = VNodeState::Follower;
            }
        });
        if let Some(term) = leaderless {
            self.cluster.elect(DEAD, term, None);
        }
        Ok(())
    }

    /// This node leads no more, if it did and somebody else can.
    pub fn resign(&self) {
        if self.leader_elsewhere().is_ok() || self.members().len() < 2 {
            return;
        }
        let leaderless = self.cluster.change(self.index, |member| member.state = VNodeState::ResigningLeader);
        if let Some(term) = leaderless {
            self.cluster.elect(RESIGNING, term, Some(self.index));
        }
    }
}

/// This node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading;
