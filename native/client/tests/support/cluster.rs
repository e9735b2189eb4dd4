//! Three servers that tell of each other what the test wants them to.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use server::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::proto::gossip::member_info::VNodeState;
use wire::proto::gossip::{ClusterInfo, EndPoint, MemberInfo};

use super::{connection, fill, framed};

const GOSSIP: &str = "/event_store.client.gossip.Gossip/Read";

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Well,
    /// Its connections stand, and nothing comes.
    Frozen,
    /// It takes no connection.
    Dead,
}

/// A server, behind something that answers gossip in its place.
pub struct Front {
    pub address: SocketAddr,
    server: Server,
    health: watch::Sender<Health>,
    /// How many calls other than gossip it was asked.
    pub calls: Arc<AtomicUsize>,
}

/// What the nodes know.
struct World {
    addresses: Vec<SocketAddr>,
    leader: usize,
    /// By node: what it tells in place of the truth.
    lies: Vec<Option<Vec<MemberInfo>>>,
}

pub struct Cluster {
    pub nodes: Vec<Front>,
    world: Arc<Mutex<World>>,
}

impl Cluster {
    /// Three nodes that hold the same `count` events of the stream `s`; the first one leads.
    pub async fn of_three(count: usize) -> Self {
        let world = World { addresses: Vec::new(), leader: 0, lies: vec![None, None, None] };
        let world = Arc::new(Mutex::new(world));
        let mut nodes = Vec::new();
        for number in 0..3 {
            let server = super::server().await;
            let direct = connection(server.local_addr());
            for filled in (0..count).step_by(1000) {
                fill(&direct, "s", 1000.min(count - filled)).await;
            }
            let front = Front::before(server, number, world.clone()).await;
            world.lock().expect("no panic").addresses.push(front.address);
            nodes.push(front);
        }
        Self { nodes, world }
    }

    /// One more event of the stream `s`, on every server.
    pub async fn append_everywhere(&self) {
        for node in &self.nodes {
            fill(&connection(node.server.local_addr()), "s", 1).await;
        }
    }

    /// `host:port` of all nodes.
    pub fn hosts(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        hosts.join(",")
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        self.nodes.get(node).expect("a node").address
    }

    /// Another node leads; the others say so.
    pub fn lead(&self, node: usize) {
        self.world.lock().expect("no panic").leader = node;
    }

    pub fn leader(&self) -> usize {
        self.world.lock().expect("no panic").leader
    }

    /// A node tells this; `None` is the truth.
    pub fn tell(&self, node: usize, members: Option<Vec<MemberInfo>>) {
        *self.world.lock().expect("no panic").lies.get_mut(node).expect("a node") = members;
    }

    pub fn become_(&self, node: usize, health: Health) {
        self.nodes.get(node).expect("a node").health.send_replace(health);
    }

    pub fn calls(&self, node: usize) -> usize {
        self.nodes.get(node).expect("a node").calls.load(Ordering::Relaxed)
    }

    /// A member as gossip tells of it.
    pub fn member(&self, node: usize, state: VNodeState, is_alive: bool) -> MemberInfo {
        member(self.address(node), state, is_alive)
    }
}

pub fn member(address: SocketAddr, state: VNodeState, is_alive: bool) -> MemberInfo {
    let end_point = EndPoint { address: address.ip().to_string(), port: address.port().into() };
    MemberInfo { state: state.into(), is_alive, http_end_point: Some(end_point), ..MemberInfo::default() }
}

impl World {
    fn told_by(&self, node: usize) -> Vec<MemberInfo> {
        if let Some(lie) = self.lies.get(node).cloned().flatten() {
            return lie;
        }
        let state = |node| if node == self.leader { VNodeState::Leader } else { VNodeState::Follower };
        self.addresses.iter().enumerate().map(|(node, at)| member(*at, state(node), true)).collect()
    }
}

impl Front {
    async fn before(server: Server, number: usize, world: Arc<Mutex<World>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let health = watch::Sender::new(Health::Well);
        let calls = Arc::new(AtomicUsize::new(0));
        let node = Node { number, world, server: server.local_addr(), calls: calls.clone() };
        let healths = health.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (node, mut health) = (node.clone(), healths.subscribe());
                if *health.borrow() == Health::Dead {
                    continue;
                }
                tokio::spawn(async move {
                    let mut frozen = health.clone();
                    tokio::select! {
                        _ = health.wait_for(|health| *health == Health::Dead) => {}
                        () = thawed(&mut frozen, node.serve(socket)) => {}
                    }
                });
            }
        });
        Self { address, server, health, calls }
    }
}

/// Runs as long as the node is not frozen.
async fn thawed(health: &mut watch::Receiver<Health>, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    let is_over = AtomicBool::new(false);
    while !is_over.load(Ordering::Relaxed) {
        health.wait_for(|health| *health == Health::Well).await.ok();
        let mut changed = pin!(health.changed());
        poll_fn(|context| {
            if changed.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let over = work.as_mut().poll(context);
            is_over.store(over.is_ready(), Ordering::Relaxed);
            over
        })
        .await;
    }
}

#[derive(Clone)]
struct Node {
    number: usize,
    world: Arc<Mutex<World>>,
    server: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Node {
    async fn serve(self, socket: TcpStream) {
        let Ok(to) = TcpStream::connect(self.server).await else { return };
        let Ok((requests, connection)) = h2::client::handshake(to).await else { return };
        let forwarding = tokio::spawn(connection);
        let Ok(mut connection) = h2::server::handshake(socket).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (node, requests) = (self.clone(), requests.clone());
            tokio::spawn(async move { node.answer(request, respond, requests).await });
        }
        forwarding.abort();
    }

    async fn answer(
        self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        server: h2::client::SendRequest<Bytes>,
    ) {
        if request.uri().path() == GOSSIP {
            let members = self.world.lock().expect("no panic").told_by(self.number);
            let message = framed(&ClusterInfo { members }.encode_to_vec());
            return say(respond, Some(message), &[("grpc-status", "0".into())]);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let leader = {
            let world = self.world.lock().expect("no panic");
            (world.leader != self.number).then(|| *world.addresses.get(world.leader).expect("a node"))
        };
        if let (Some(leader), true) = (leader, request.headers().contains_key("requires-leader")) {
            let trailers = [
                ("grpc-status", "5".into()),
                ("grpc-message", "Leader info available".into()),
                ("exception", "not-leader".into()),
                ("leader-endpoint-host", leader.ip().to_string()),
                ("leader-endpoint-port", leader.port().to_string()),
            ];
            return say(respond, None, &trailers);
        }
        forward(request, respond, server).await;
    }
}

fn say(mut respond: SendResponse<Bytes>, message: Option<Vec<u8>>, trailers: &[(&'static str, String)]) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if let Some(message) = message {
        stream.send_data(message.into(), false).ok();
    }
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    stream.send_trailers(map).ok();
}

async fn forward(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    server: h2::client::SendRequest<Bytes>,
) {
    let (head, body) = request.into_parts();
    let Ok(mut server) = server.ready().await else { return };
    let Ok((answer, to)) = server.send_request(Request::from_parts(head, ()), false) else { return };
    tokio::spawn(pump(body, to));
    let Ok(answer) = answer.await else { return };
    let (head, body) = answer.into_parts();
    let Ok(to) = respond.send_response(Response::from_parts(head, ()), body.is_end_stream()) else { return };
    pump(body, to).await;
}

async fn pump(mut from: RecvStream, mut to: SendStream<Bytes>) {
    while let Some(data) = from.data().await {
        let Ok(data) = data else { return to.send_reset(h2::Reason::INTERNAL_ERROR) };
        from.flow_control().release_capacity(data.len()).ok();
        if to.send_data(data, false).is_err() {
            return;
        }
    }
    match from.trailers().await {
        Ok(Some(trailers)) => to.send_trailers(trailers).ok(),
        _ => to.send_data(Bytes::new(), true).ok(),
    };
}
