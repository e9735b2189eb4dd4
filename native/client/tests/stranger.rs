//! Somebody in the server's place who does not speak its language.

#![allow(clippy::expect_used)]

mod support;

use std::net::SocketAddr;

use client::{Direction, From, MAX_MESSAGE_SIZE, Read, ReadLimits, What, read_events};
use reader_core::Start;
use support::{Road as Cut, *};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a connection's peer does in place of a server.
#[derive(Clone, Copy)]
enum Peer {
    /// Says this at once, and listens to what comes.
    Says(&'static [u8]),
    /// Says this byte for byte.
    Drips(&'static [u8]),
    /// Ends the connection in the middle of the client's hello.
    Leaves,
}

impl Peer {
    async fn meet(self, mut socket: TcpStream) {
        match self {
            Self::Says(bytes) => {
                socket.write_all(bytes).await.ok();
            }
            Self::Drips(bytes) => {
                socket.set_nodelay(true).expect("a socket");
                for byte in bytes {
                    // the client may have heard enough
                    if socket.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Self::Leaves => {
                socket.read_exact(&mut [0; 10]).await.ok();
                return;
            }
        }
        // to close with something unread would reset the connection, and the answer with it
        while matches!(socket.read(&mut [0; 1024]).await, Ok(1..)) {}
    }
}

/// A way to a server on which others can be met instead.
struct Road {
    address: SocketAddr,
    peer: watch::Sender<Option<Peer>>,
}

impl Road {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let peer = watch::Sender::new(None::<Peer>);
        let peers = peer.subscribe();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let peer = *peers.borrow();
                tokio::spawn(async move {
                    if let Some(peer) = peer {
                        return peer.meet(socket).await;
                    }
                    let mut to = TcpStream::connect(server).await.expect("a server");
                    copy_bidirectional(&mut socket, &mut to).await.ok();
                });
            }
        });
        Self { address, peer }
    }

    /// Whom new connections meet; `None` is the server.
    fn meets(&self, peer: Option<Peer>) {
        self.peer.send_replace(peer);
    }
}

const PAGE_OF_HTTP_1: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_peer_in_the_servers_place_that_speaks_something_else_is_followed_by_the_server() {
    // an empty SETTINGS frame, and a DATA frame on the stream that carries none
    let broken = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00x";
    let first = vec![GRPC, Say::Data([confirmation(), event_at(0), event_at(1)].concat()), Say::Silence];
    let then = vec![GRPC, Say::Data([confirmation(), event_at(2)].concat()), Say::Silence];
    for (peer, text) in [
        (Peer::Says(PAGE_OF_HTTP_1), "it answered \"HTTP/1.1 400 Bad Request\""),
        (Peer::Drips(PAGE_OF_HTTP_1), "it answered \"H"),
        (Peer::Says(b"SSH-2.0-x\r\n"), "it answered \"SSH-2.0-x\""),
        (Peer::Says(b"\x15\x03\x01\x00\x02\x02\x46"), "it answered \"\\x15\\x03"),
        (Peer::Says(broken), "it broke the rules of HTTP/2"),
        (Peer::Leaves, "not available"),
    ] {
        let server = answerer(vec![first.clone(), then.clone()]).await;
        let cut = Cut::to(server).await;
        let road = Road::to(cut.address).await;
        let mut running = subscribe(&connection(road.address), "s", Start::Beginning);
        assert_eq!(running.events_until(1).await, [0, 1], "{text}");
        road.meets(Some(peer));
        cut.cut();
        assert_eq!(running.next().await, Given::Dropped, "{text}");
        // the first was of the connection that was cut
        assert_eq!(running.next().await, Given::Dropped, "{text}");
        let error = running.error().to_string();
        assert!(error.contains(text) && error.contains(&road.address.to_string()), "{error}");
        road.meets(None);
        assert_eq!(running.events_until(2).await, [2], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_peer_that_speaks_something_else_are_always_told_so() {
    let road = Road::to(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    road.meets(Some(Peer::Says(PAGE_OF_HTTP_1)));
    let address = road.address;
    let what = Read {
        what: What::Stream { name: "s".into(), from: From::Start },
        direction: Direction::Forwards,
        count: 1,
        resolve_links: true,
    };
    for _ in 0..40 {
        let connection = connection(address);
        let limits = ReadLimits { message: MAX_MESSAGE_SIZE, page: None, timeout: None };
        let (read, append, again) = tokio::join!(
            read_events(&connection, &what, limits),
            append(&connection, "s", vec![event(b"1")]),
            read_events(&connection, &what, limits),
        );
        let append = append.expect_err("no server");
        assert!(append.may_be_written);
        for error in [read.expect_err("no server"), append.error, again.expect_err("no server")] {
            assert_eq!((error.reason(), error.retryable()), ("protocol", false), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{address}: it answered \"HTTP/1.1 400")), "{text}");
        }
    }
}

#[tokio::test]
async fn what_a_peer_said_is_not_said_of_the_server_that_came_after_it() {
    let server = server().await;
    let road = Road::to(server.local_addr()).await;
    road.meets(Some(Peer::Says(PAGE_OF_HTTP_1)));
    let connection = connection(road.address);
    let first = append(&connection, "s", vec![event(b"1")]).await.expect_err("no server");
    assert_eq!(first.error.reason(), "protocol");
    road.meets(None);
    append(&connection, "s", vec![event(b"1")]).await.expect("a server");
    road.meets(Some(Peer::Leaves));
    server.shutdown().await;
    // the connection that is left goes with the server
    let error = append(&connection, "s", vec![event(b"1")]).await.expect_err("no server").error;
    assert_eq!(error.reason(), "unavailable", "{error}");
}
