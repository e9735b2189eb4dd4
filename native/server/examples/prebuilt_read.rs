//! What answering a read costs at least: a server whose answer lies ready in memory.
//!
//! `prebuilt_read HOST:PORT STREAM COUNT` reads a stream from a server, then answers every `Streams.Read` with these
//! same bytes, in frames of the same size. Prints `listening HOST:PORT`, and ends when it is killed.

#[path = "../../client/examples/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use prost::Message as _;
use support::{WINDOW, request};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use wire::proto::streams::ReadReq;

/// What tonic gathers before it hands a frame on.
const FRAME: usize = 32 * 1024;
const LARGEST: usize = 17 * 1024 * 1024;
const READ: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Read");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: prebuilt_read HOST:PORT STREAM COUNT");
    let frames = Arc::new(frames(&next()?, next()?, next()?.parse()?).await?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let frames = frames.clone();
        tokio::spawn(async move {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(4 * WINDOW);
            let service = service_fn(move |_: Request<Incoming>| {
                let answer = answer(frames.clone());
                async { Ok::<_, Infallible>(answer) }
            });
            if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
                eprintln!("prebuilt_read: a connection ended: {error}");
            }
        });
    }
}

fn answer(frames: Arc<Vec<Bytes>>) -> Response<Prebuilt> {
    let mut response = Response::new(Prebuilt { left: frames.iter().cloned().collect(), ended: false });
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// The frames, then a status of OK.
struct Prebuilt {
    left: VecDeque<Bytes>,
    ended: bool,
}

impl Body for Prebuilt {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.left.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let status = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        Poll::Ready(Some(Ok(Frame::trailers(status))))
    }
}

/// The answer to a read of the stream, as it goes over the wire.
async fn frames(
    address: &str,
    stream: String,
    count: u64,
) -> Result<Vec<Bytes>, Box<dyn Error + Send + Sync>> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(LARGEST);
    grpc.ready().await?;
    let request = tonic::Request::new(request(stream, count));
    let mut messages = grpc.server_streaming(request, READ, Raw).await?.into_inner();
    let (mut frames, mut frame) = (Vec::new(), BytesMut::new());
    while let Some(message) = messages.message().await? {
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put(message);
        if frame.len() >= FRAME {
            frames.push(frame.split().freeze());
        }
    }
    frames.push(frame.freeze());
    Ok(frames)
}

/// Leaves the answers as they came.
struct Raw;

impl Codec for Raw {
    type Encode = ReadReq;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = ReadReq;
    type Error = Status;

    fn encode(&mut self, item: ReadReq, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
