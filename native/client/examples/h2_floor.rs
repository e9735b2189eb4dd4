//! The floor under any gRPC client: a loop on the h2 crate that throws DATA frames away.
//!
//! `h2_floor HOST:PORT STREAM COUNT` reads as many events of a stream and prints `bytes N ns N cpu_ns N`: what the frames
//! held, wall time from the call to its end, and the process's CPU time in between. Nothing is done with messages, so
//! it has to be told how many events there are.

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use http::Request;
use prost::Message;
use tokio::net::TcpStream;
use wire::proto::streams::ReadReq;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: h2_floor HOST:PORT STREAM COUNT");
    let (address, stream, count) = (next()?, next()?, next()?.parse::<u64>()?);
    let socket = TcpStream::connect(&address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = client::Builder::new()
        .initial_window_size(support::WINDOW)
        .initial_connection_window_size(support::WINDOW)
        .handshake::<_, Bytes>(socket)
        .await?;
    let driver = tokio::spawn(connection);

    let (began, cpu) = (Instant::now(), cpu()?);
    let bytes = read(sender, &address, &support::request(stream, count)).await?;
    println!("bytes {bytes} ns {} cpu_ns {}", began.elapsed().as_nanos(), (self::cpu()? - cpu).as_nanos());
    driver.abort();
    Ok(())
}

/// How many bytes the answer's DATA frames held.
async fn read(sender: SendRequest<Bytes>, address: &str, body: &ReadReq) -> Result<usize, Box<dyn Error>> {
    let request = Request::post(format!("http://{address}/event_store.client.streams.Streams/Read"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut sending) = sender.ready().await?.send_request(request, false)?;
    sending.send_data(message(body)?, true)?;
    let mut frames = answer.await?.into_body();
    let mut bytes = 0;
    while let Some(frame) = frames.data().await {
        let length = frame?.len();
        bytes += length;
        frames.flow_control().release_capacity(length)?;
    }
    let trailers = frames.trailers().await?;
    match trailers.as_ref().and_then(|trailers| trailers.get("grpc-status")) {
        Some(status) if status == "0" => Ok(bytes),
        other => Err(format!("the read ended with the status {other:?}").into()),
    }
}

/// A message as gRPC frames it.
fn message(body: &ReadReq) -> Result<Bytes, Box<dyn Error>> {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(body.encoded_len().try_into()?);
    body.encode(&mut framed)?;
    Ok(framed.freeze())
}

/// What the one thread has had of a core.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let times = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(Duration::from_nanos(times.split_whitespace().next().ok_or("/proc/self/schedstat is empty")?.parse()?))
}
