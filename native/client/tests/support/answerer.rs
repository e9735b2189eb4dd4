//! A server that answers, right or wrong, as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::read_event::RecordedEvent;
use wire::proto::streams::read_resp::{
    CaughtUp, Content, ReadEvent, StreamNotFound, SubscriptionConfirmation,
};

/// A part of an answer.
#[derive(Debug, Clone)]
pub enum Say {
    /// The head: the HTTP status and the content type.
    Head(u16, &'static str),
    /// A DATA frame.
    Data(Vec<u8>),
    /// An end without trailers.
    End,
    /// An end with these trailers.
    Trailers(Vec<(&'static str, String)>),
    /// The end of this call alone.
    Reset(Reason),
    /// The end of the connection, as HTTP/2 says it.
    GoAway(Reason),
    /// Nothing, for as long as the peer likes.
    Silence,
}

/// The head of an answer that goes well.
pub const GRPC: Say = Say::Head(200, "application/grpc");

pub fn ok() -> Say {
    Say::Trailers(vec![("grpc-status", "0".into())])
}

pub fn status(code: u8) -> Say {
    Say::Trailers(vec![("grpc-status", code.to_string()), ("grpc-message", "words".into())])
}

/// A message with what goes before it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

fn answer(content: Content) -> Vec<u8> {
    framed(&ReadResp { content: Some(content) }.encode_to_vec())
}

pub fn confirmation() -> Vec<u8> {
    answer(Content::Confirmation(SubscriptionConfirmation { subscription_id: "x".into() }))
}

pub fn caught_up() -> Vec<u8> {
    answer(Content::CaughtUp(CaughtUp::default()))
}

pub fn not_found() -> Vec<u8> {
    answer(Content::StreamNotFound(StreamNotFound { stream_identifier: None }))
}

pub fn last_position(revision: u64) -> Vec<u8> {
    answer(Content::LastStreamPosition(revision))
}

pub fn event_at(revision: u64) -> Vec<u8> {
    let event = Some(RecordedEvent { stream_revision: revision, ..RecordedEvent::default() });
    answer(Content::Event(ReadEvent { event, link: None, position: None }))
}

/// Answers each request with what the script says to its number, over all connections; the last entry goes for all
/// that follow.
pub async fn answerer(script: Vec<Vec<Say>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (script, requests) = (Arc::new(script), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, script.clone(), requests.clone()));
        }
    });
    address
}

async fn serve(socket: TcpStream, script: Arc<Vec<Vec<Say>>>, requests: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let number = requests.fetch_add(1, Ordering::Relaxed).min(script.len() - 1);
        let says = script.get(number).cloned().unwrap_or_default();
        if let Some(Say::GoAway(reason)) = says.last() {
            connection.abrupt_shutdown(*reason);
        }
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).ok();
            }
            say(says, respond).await;
        });
    }
}

async fn say(says: Vec<Say>, mut respond: SendResponse<Bytes>) {
    let mut stream = None;
    for one in says {
        match one {
            Say::Head(status, kind) => {
                let head = Response::builder().status(status).header("content-type", kind);
                let head = head.body(()).expect("a good head");
                stream = respond.send_response(head, false).ok();
            }
            Say::Reset(reason) => match &mut stream {
                // what was said before has to be on its way before the reset overtakes it
                Some(stream) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    stream.send_reset(reason);
                }
                None => respond.send_reset(reason),
            },
            Say::GoAway(_) | Say::Silence => std::future::pending().await,
            Say::Data(data) => {
                stream.as_mut().expect("a head").send_data(data.into(), false).ok();
            }
            Say::End => {
                stream.as_mut().expect("a head").send_data(Bytes::new(), true).ok();
            }
            Say::Trailers(trailers) => {
                let trailers: HeaderMap = trailers
                    .into_iter()
                    .map(|(name, value)| {
                        let value = HeaderValue::try_from(value).expect("a good value");
                        (HeaderName::from_static(name), value)
                    })
                    .collect();
                stream.as_mut().expect("a head").send_trailers(trailers).ok();
            }
        }
    }
}
