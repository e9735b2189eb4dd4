//! The actor that owns the choice of a node, until the last one who might ask for it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use wire::connection_string::Endpoint;
use wire::error::Error;

use crate::choice::{Member, is_unfit};
use crate::discovery::find;
use crate::gossip::members;
use crate::node::Node;
use crate::settings::{Cluster, Settings};
use crate::unusable::Unusable;
use crate::waits::{option, time};

/// How often the node that is used is asked whether it still serves as is wished: the server never says so by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a failure speaks against a node.
const REMEMBERED: Duration = Duration::from_secs(30);
/// So many nodes are remembered from gossip, to be asked beside the seeds.
const KNOWN: usize = 8;
/// So many failures are remembered.
const NOTED: usize = 64;
/// So many nodes in a row are believed who leads; they may all be wrong, or mean each other.
const FOLLOWS: u32 = 3;
/// A node that was used for this long was the right one.
const SETTLED: Duration = Duration::from_secs(5);

/// The node that is used, at any time; none while it is looked for.
pub(crate) type Used = watch::Receiver<Option<Arc<Node>>>;

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Somebody needs a node.
    Find(oneshot::Sender<Result<Arc<Node>, Error>>),
    /// A call to this node failed.
    Failed(Arc<Node>, Error),
}

/// What follows from the failure of a call, for the choice of a node.
enum Meaning {
    /// Nothing: the node has answered.
    Nothing,
    /// It may be silent.
    Look,
    /// It cannot be reached, or is none.
    Leave,
    /// Another one leads.
    Follow(Endpoint),
}

impl Meaning {
    fn of(error: &Error) -> Self {
        match error {
            Error::NotLeader { host, port } => {
                Self::Follow(Endpoint { host: host.to_ascii_lowercase(), port: *port })
            }
            Error::Unavailable { .. }
            | Error::NotHttp2 { .. }
            | Error::Protocol { .. }
            | Error::Certificate { .. } => Self::Leave,
            Error::DeadlineExceeded { .. } | Error::Cancelled { .. } => Self::Look,
            _ => Self::Nothing,
        }
    }
}

pub(crate) struct Actor {
    settings: Arc<Settings>,
    orders: mpsc::Receiver<Order>,
    used: watch::Sender<Option<Arc<Node>>>,
    /// The node that is used, or was used last.
    last: Option<Arc<Node>>,
    since: Instant,
    /// The one node of a connection that is to no cluster.
    only: Option<Arc<Node>>,
    follows: u32,
    waiting: Vec<oneshot::Sender<Result<Arc<Node>, Error>>>,
    finding: Option<BoxFuture<'static, Result<Arc<Node>, Error>>>,
    looking: Option<BoxFuture<'static, Result<Vec<Member>, Error>>>,
    look_at: Instant,
    /// Nodes that the last gossip named.
    known: BTreeSet<Endpoint>,
    failures: Vec<(Endpoint, Instant)>,
}

/// What has come, of several things that were waited for.
enum Came {
    Order(Option<Order>),
    Found(Result<Arc<Node>, Error>),
    Looked(Result<Vec<Member>, Error>),
    Time,
}

impl Actor {
    pub(crate) fn new(
        settings: Arc<Settings>,
        orders: mpsc::Receiver<Order>,
    ) -> Result<(Self, Used), Unusable> {
        let only = match settings.cluster {
            Some(_) => None,
            None => Some(Arc::new(Node::new(&settings.host, &settings)?)),
        };
        let (used, node) = watch::channel(only.clone());
        let now = Instant::now();
        let actor = Self {
            settings,
            orders,
            used,
            last: only.clone(),
            since: now,
            only,
            follows: 0,
            waiting: Vec::new(),
            finding: None,
            looking: None,
            look_at: now,
            known: BTreeSet::new(),
            failures: Vec::new(),
        };
        Ok((actor, node))
    }

    pub(crate) async fn run(mut self) {
        loop {
            let look_at = self.looks().then_some(self.look_at);
            let came = tokio::select! {
                biased;
                order = self.orders.recv() => Came::Order(order),
                found = option(&mut self.finding) => Came::Found(found),
                looked = option(&mut self.looking) => Came::Looked(looked),
                () = time(look_at) => Came::Time,
            };
            match came {
                Came::Order(None) => return,
                Came::Order(Some(Order::Find(answer))) => self.asked(answer),
                Came::Order(Some(Order::Failed(node, error))) => self.failed(&node, &error),
                Came::Found(found) => self.found(found),
                Came::Looked(looked) => self.looked(looked),
                Came::Time => self.look(),
            }
        }
    }

    /// Whether the node that is used is to be asked how it is: one of a cluster, and nothing else is under way.
    fn looks(&self) -> bool {
        self.settings.cluster.is_some()
            && self.finding.is_none()
            && self.looking.is_none()
            && self.used.borrow().is_some()
    }

    fn asked(&mut self, answer: oneshot::Sender<Result<Arc<Node>, Error>>) {
        let used = self.used.borrow().clone();
        if let Some(node) = used {
            answer.send(Ok(node)).ok();
            return;
        }
        self.waiting.push(answer);
        self.find();
    }

    fn find(&mut self) {
        let Some(cluster) = self.settings.cluster.clone() else { return };
        if self.finding.is_none() {
            let (settings, known) = (self.settings.clone(), self.known.clone());
            let failures = self.recent_failures();
            self.finding = Some(async move { find(settings, cluster, known, failures).await }.boxed());
            self.looking = None;
        }
    }

    fn failed(&mut self, node: &Arc<Node>, error: &Error) {
        let meaning = Meaning::of(error);
        if matches!(meaning, Meaning::Leave) {
            self.note(node);
        }
        // of a node that is used no longer, nothing follows
        if !self.used.borrow().as_ref().is_some_and(|used| Arc::ptr_eq(node, used)) {
            return;
        }
        tracing::debug!(%error, node = node.address(), "a call failed");
        match meaning {
            Meaning::Nothing => {}
            Meaning::Look if self.settings.cluster.is_some() => self.look(),
            Meaning::Look => {}
            Meaning::Leave => self.leave(),
            Meaning::Follow(leader) => self.follow(node, &leader),
        }
    }

    /// The node that is used is gone. One of no cluster makes its connections again by itself.
    fn leave(&mut self) {
        match &self.only {
            Some(only) => self.publish(only.clone()),
            None => {
                self.used.send_replace(None);
                self.find();
            }
        }
    }

    /// Who leads is used at once, as long as it is not always somebody else.
    fn follow(&mut self, node: &Arc<Node>, leader: &Endpoint) {
        if self.since.elapsed() >= SETTLED {
            self.follows = 0;
        }
        self.follows += 1;
        if *leader == *node.host() || self.follows > FOLLOWS {
            return self.leave();
        }
        match Node::new(leader, &self.settings) {
            Ok(leader) => {
                tracing::info!(node = node.address(), leader = leader.address(), "the leader is followed");
                self.publish(Arc::new(leader));
            }
            Err(error) => {
                tracing::warn!(%error, node = node.address(), "it names a leader that cannot be connected to");
                self.leave();
            }
        }
    }

    fn publish(&mut self, node: Arc<Node>) {
        // one that is found again keeps its connections
        let node = match &self.last {
            Some(last) if last.host() == node.host() => last.clone(),
            _ => node,
        };
        node.set_unfit(false);
        let is_new = !self.used.borrow().as_ref().is_some_and(|used| Arc::ptr_eq(used, &node));
        if is_new {
            self.since = Instant::now();
            self.last = Some(node.clone());
            self.used.send_replace(Some(node.clone()));
        }
        self.look_at = Instant::now() + LOOK_AGAIN;
        for waiting in self.waiting.drain(..) {
            waiting.send(Ok(node.clone())).ok();
        }
    }

    fn found(&mut self, found: Result<Arc<Node>, Error>) {
        self.finding = None;
        match found {
            Ok(node) => {
                tracing::debug!(node = node.address(), "a node was found");
                self.publish(node);
            }
            Err(error) => {
                // one that is still used goes on being so
                self.look_at = Instant::now() + LOOK_AGAIN;
                tracing::debug!(%error, "no node was found");
                for waiting in self.waiting.drain(..) {
                    waiting.send(Err(error.clone())).ok();
                }
            }
        }
    }

    fn look(&mut self) {
        let Some(Cluster { gossip_timeout, .. }) = self.settings.cluster else { return };
        let used = self.used.borrow().clone();
        if let (Some(node), None, None) = (used, &self.looking, &self.finding) {
            self.looking = Some(async move { members(&node, gossip_timeout).await }.boxed());
        }
    }

    fn looked(&mut self, looked: Result<Vec<Member>, Error>) {
        self.looking = None;
        self.look_at = Instant::now() + LOOK_AGAIN;
        let used = self.used.borrow().clone();
        let (Some(cluster), Some(node)) = (&self.settings.cluster, used) else { return };
        match looked {
            Ok(members) => {
                let unfit = is_unfit(node.host(), &members, cluster.preference);
                let alive = members.into_iter().filter(|it| it.is_alive).map(|it| it.endpoint);
                self.known = alive.take(KNOWN).collect();
                if unfit {
                    tracing::info!(node = node.address(), "it serves no longer as is wished");
                    node.set_unfit(true);
                    self.find();
                }
            }
            Err(error) => {
                tracing::debug!(%error, node = node.address(), "it does not tell of its cluster");
                self.note(&node);
                node.set_unfit(true);
                self.find();
            }
        }
    }

    fn note(&mut self, node: &Node) {
        if self.failures.len() >= NOTED {
            self.failures.remove(0);
        }
        self.failures.push((node.host().clone(), Instant::now()));
    }

    fn recent_failures(&mut self) -> BTreeMap<Endpoint, u32> {
        self.failures.retain(|(_, at)| at.elapsed() < REMEMBERED);
        let mut counts = BTreeMap::new();
        for (endpoint, _) in &self.failures {
            let count: &mut u32 = counts.entry(endpoint.clone()).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }
}
