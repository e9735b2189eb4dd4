//! Accepting connections, and seeing them off.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::idle::Awaited;
use crate::node::Node;
use crate::orders::{Receiver, Resets, Waiting, frozen, told, told_to_stop};
use crate::requests::Watched;
use crate::route;

/// Calls on one connection; further ones wait in the client.
const CALLS: u32 = 100;
/// The real server takes 32 kB of request headers.
const HEADERS: u32 = 32 * 1024;
/// What a client may send before it is asked for more.
const WINDOW: u32 = 1024 * 1024;
/// How much of an answer may wait for a client that does not take it, whatever it says that it would take.
const UNSENT: usize = 128 * 1024;
/// How long a client may take to say what it speaks (with TLS, to agree on that first), and for the head of a request
/// over HTTP/1.1.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// After what silence a client is asked whether it is still there, and how long it may take to answer; the real
/// server's defaults.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls that are being answered may take when the server ends.
const GRACE: Duration = Duration::from_millis(500);
/// How long to wait when there are no more sockets to be had.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Whoever wants the server to begin anew, and where it goes on to listen.
pub struct Again {
    pub listener: TcpListener,
    pub waiting: Waiting,
}

/// Serves until told to stop or to begin anew, then ends every connection.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    node: Arc<Node>,
    mut orders: Receiver,
    resets: &mut Resets,
) -> Option<Again> {
    let mut connections = JoinSet::new();
    let mut exhausted = false;
    let mut thawed = orders.clone();
    loop {
        tokio::select! {
            () = told_to_stop(&mut orders) => break,
            Some(waiting) = resets.recv() => {
                connections.shutdown().await;
                return Some(Again { listener, waiting });
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection failed");
                }
            }
            // Whoever connects to one that stands still waits, as with a process that does.
            accepted = async {
                frozen(&mut thawed, false).await;
                listener.accept().await
            } => match accepted {
                Ok((socket, _)) => {
                    exhausted = false;
                    let cuts = orders.borrow().cuts;
                    connections.spawn(connection(socket, tls.clone(), node.clone(), orders.clone(), cuts));
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Said once, not twenty times a second.
                    if !std::mem::replace(&mut exhausted, true) {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    tokio::time::sleep(EXHAUSTED).await;
                }
            },
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        connections.shutdown().await;
    }
    None
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    node: Arc<Node>,
    mut orders: Receiver,
    cuts: u64,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let Some(tls) = tls else { return http(socket, node, orders, cuts).await };
    let mut thawed = orders.clone();
    tokio::select! {
        () = frozen(&mut thawed, false) => {}
        _ = told(&mut orders, cuts) => return,
    }
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(FIRST_WORD, tls.accept(socket)) => agreed,
        _ = told(&mut orders, cuts) => return,
    };
    match agreed {
        Ok(Ok(socket)) => http(socket, node, orders, cuts).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client and this server did not agree on TLS"),
        Err(_) => tracing::debug!("a client did not say how it speaks TLS"),
    }
}

/// Speaks HTTP on a socket, or on what is encrypted on it.
async fn http(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    node: Arc<Node>,
    mut orders: Receiver,
    cuts: u64,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_WORD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(UNSENT)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let room = node.room.for_one();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let request = request.map(|body| Watched::new(body, &room));
        let answering = route::answer(node.clone(), request);
        async { Ok::<_, Infallible>(answering.await) }
    });
    let io = TokioIo::new(Awaited::new(socket, FIRST_WORD));
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    let mut standing = orders.clone();
    let ended = loop {
        // Nobody looks at the connection meanwhile, not even at what HTTP/2 asks.
        let stopped = tokio::select! {
            told = told(&mut orders, cuts) => Some(told),
            () = frozen(&mut standing, false) => None,
        };
        if stopped.is_some_and(|told| told.cuts > cuts || told.frozen) {
            return;
        }
        let mut freezing = standing.clone();
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = frozen(&mut freezing, true) => {}
            told = told(&mut orders, cuts) => {
                if told.cuts > cuts {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
