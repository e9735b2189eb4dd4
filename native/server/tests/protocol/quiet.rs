//! Peers that say little or nothing, spoken to in bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::start;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

/// HTTP/2 by hand.
struct Peer(TcpStream);

impl Peer {
    /// Connects and says hello.
    async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self(TcpStream::connect(address).await.unwrap());
        peer.0.write_all(PREFACE).await.unwrap();
        peer.send(SETTINGS, 0, 0, &[]).await;
        peer
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame: its kind, its flags and what it holds.
    async fn frame(&mut self) -> std::io::Result<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await?;
        Ok((head[3], head[4], payload))
    }
}

// Time is not waited for: it is moved on whenever nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_peer_answers_no_ping_is_closed() {
    let (server, _) = start().await;
    let mut peer = Peer::connect(server.local_addr()).await;
    let started = tokio::time::Instant::now();
    let mut pings = 0;
    while let Ok((kind, flags, _)) = peer.frame().await {
        pings += usize::from(kind == PING && flags & ACK == 0);
    }
    assert_eq!(pings, 1);
    assert!(started.elapsed() <= Duration::from_secs(25), "{:?}", started.elapsed());
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_or_half_a_hello_comes_is_closed() {
    let (server, _) = start().await;
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTT", b"GET /ping HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(120), socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{:?}", String::from_utf8_lossy(said));
    }
    server.shutdown().await;
}

// As when the road is cut there: an answer by HTTP/1.1 would be nonsense to whoever began with HTTP/2.
#[tokio::test]
async fn a_hello_of_http2_that_is_cut_is_not_answered_by_http1() {
    let (server, _) = start().await;
    for said in 1..PREFACE.len() {
        let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
        socket.write_all(&PREFACE[..said]).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer).await);
        assert_eq!(String::from_utf8_lossy(&answer), "", "after {said} bytes");
    }
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    socket.write_all(b"GET /ping HTTP/1.0\r\n\r\n").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    server.shutdown().await;
}
