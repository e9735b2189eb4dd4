//! Finding the node of a cluster that is to be used: asks around as [`Search`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};
use wire::connection_string::{Endpoint, NodePreference};
use wire::error::Error;

use crate::choice::{Decision, Member, Peer, Search};
use crate::gossip::members;
use crate::node::Node;
use crate::settings::{Cluster, Settings};
use crate::spoken::Spoken;

/// How long the best node may take when another has answered.
const HURRY: Duration = Duration::from_millis(500);
/// So many reasons stand in an error.
const REASONS: usize = 5;

/// Asks around, as often as the settings say.
pub(crate) async fn find(
    settings: Arc<Settings>,
    cluster: Cluster,
    known: BTreeSet<Endpoint>,
    failures: BTreeMap<Endpoint, u32>,
) -> Result<Arc<Node>, Error> {
    let mut attempt = 1;
    loop {
        let mut round = Round::new(&settings, &cluster, &known, failures.clone());
        match round.run().await {
            Some(found) => return round.node(&found),
            None if attempt >= cluster.attempts => return Err(round.error(attempt)),
            None => {}
        }
        if let Some(refusal) = round.refusal() {
            return Err(refusal);
        }
        attempt += 1;
        sleep(cluster.interval).await;
    }
}

enum Came {
    Addresses(Endpoint, Result<Vec<SocketAddr>, String>),
    Told(Peer, Result<(Arc<Node>, Vec<Member>), Error>),
    Hurry,
}

/// One attempt.
struct Round<'a> {
    settings: &'a Arc<Settings>,
    cluster: &'a Cluster,
    search: Search,
    coming: FuturesUnordered<BoxFuture<'static, Came>>,
    /// Names whose addresses are looked up.
    looked_up: usize,
    nodes: BTreeMap<Endpoint, Arc<Node>>,
    /// Who told of a cluster.
    told: Vec<String>,
    errors: Vec<Error>,
}

impl<'a> Round<'a> {
    fn new(
        settings: &'a Arc<Settings>,
        cluster: &'a Cluster,
        known: &BTreeSet<Endpoint>,
        failures: BTreeMap<Endpoint, u32>,
    ) -> Self {
        let mut search = Search::new(cluster.preference, failures, fastrand::u64(..));
        for endpoint in known {
            search.seed(Peer::of(endpoint.clone()));
        }
        let coming = FuturesUnordered::new();
        for seed in &cluster.seeds {
            coming.push(addresses(seed.clone(), cluster.gossip_timeout).boxed());
        }
        coming.push(sleep(HURRY).map(|()| Came::Hurry).boxed());
        let looked_up = cluster.seeds.len();
        let (nodes, told, errors) = Default::default();
        Self { settings, cluster, search, coming, looked_up, nodes, told, errors }
    }

    async fn run(&mut self) -> Option<Endpoint> {
        let mut hurried = false;
        loop {
            for peer in self.search.ask() {
                let asking = ask(self.settings.clone(), peer, self.cluster.gossip_timeout);
                self.coming.push(asking.boxed());
            }
            match self.search.decide(hurried) {
                Decision::Use(found) => return Some(found),
                Decision::Nobody if self.looked_up == 0 => return None,
                Decision::Nobody | Decision::Wait => {}
            }
            match self.coming.next().await? {
                Came::Hurry => hurried = true,
                Came::Addresses(host, found) => self.resolved(host, found),
                Came::Told(peer, Ok((node, members))) => {
                    self.search.told(&peer, &members);
                    self.told.push(peer.host.to_string());
                    if peer.ip.is_none() {
                        self.nodes.insert(peer.host, node);
                    }
                }
                Came::Told(peer, Err(error)) => {
                    self.search.failed(&peer);
                    self.errors.push(error);
                }
            }
        }
    }

    fn resolved(&mut self, host: Endpoint, found: Result<Vec<SocketAddr>, String>) {
        self.looked_up -= 1;
        match found {
            Ok(addresses) => {
                for ip in addresses {
                    self.search.seed(Peer { host: host.clone(), ip: Some(ip) });
                }
            }
            Err(message) => self.errors.push(Error::Unavailable { message }),
        }
    }

    /// The node that was found, with the connection that it answered on, if there is one.
    fn node(mut self, found: &Endpoint) -> Result<Arc<Node>, Error> {
        match self.nodes.remove(found) {
            Some(node) => Ok(node),
            None => node(found, None, self.settings),
        }
    }

    /// What every node refuses for, and will again.
    fn refusal(&self) -> Option<Error> {
        let all_refuse = self.told.is_empty()
            && self.errors.iter().all(|error| matches!(error, Error::Certificate { .. }));
        self.errors.first().filter(|_| all_refuse).cloned()
    }

    fn error(&self, attempts: u32) -> Error {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        let wanted = match self.cluster.preference {
            NodePreference::Leader => "that leads",
            NodePreference::Follower | NodePreference::Random | NodePreference::ReadOnlyReplica => {
                "that answers and serves"
            }
        };
        let told = self.told.iter().map(|peer| format!("{peer} knows of none"));
        let failed = self.errors.iter().map(|error| match error {
            Error::Unavailable { message } => message.clone(),
            error => error.to_string(),
        });
        let reasons: Vec<String> = told.chain(failed).take(REASONS).collect();
        let times = if attempts == 1 { "1 attempt".into() } else { format!("{attempts} attempts") };
        let message = format!("no node of the cluster {wanted} was found in {times}: {}", reasons.join("; "));
        Error::Unavailable { message }
    }
}

/// All addresses of a seed's name. The order says nothing: all are asked.
async fn addresses(host: Endpoint, within: Duration) -> Came {
    let found = match timeout(within, lookup_host((host.host.clone(), host.port))).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err(format!("{host}: the name has no address")) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(format!("{host}: the name has no address: {error}")),
        Err(_) => Err(format!("{host}: nobody told the name's address within {}", Spoken(within))),
    };
    Came::Addresses(host, found)
}

async fn ask(settings: Arc<Settings>, peer: Peer, within: Duration) -> Came {
    let told = match node(&peer.host, peer.ip, &settings) {
        Ok(node) => members(&node, within).await.map(|members| (node, members)),
        Err(error) => Err(error),
    };
    Came::Told(peer, told)
}

fn node(host: &Endpoint, ip: Option<SocketAddr>, settings: &Settings) -> Result<Arc<Node>, Error> {
    let made = Node::at(host, ip, settings);
    made.map(Arc::new).map_err(|error| Error::Unavailable { message: error.to_string() })
}
