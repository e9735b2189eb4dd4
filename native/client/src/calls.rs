//! The calls of the service, over a channel.

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use wire::error::Error;
use wire::proto::Empty;
use wire::proto::streams::{AppendReq, DeleteReq, ReadReq, TombstoneReq};

use crate::raw::RawAnswers;
use crate::road::{Channel, Judged};

/// The largest message that is taken by default, in bytes: an event of 16 MB with its names and metadata.
pub const MAX_MESSAGE_SIZE: u64 = 17 * 1024 * 1024;
const READ: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Read");
const DELETE: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Delete");
const TOMBSTONE: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Tombstone");
const GOSSIP: PathAndQuery = PathAndQuery::from_static("/event_store.client.gossip.Gossip/Read");
/// Far more than what a cluster has to say of itself, in bytes.
const MAX_GOSSIP: u64 = 256 * 1024;
const APPEND: PathAndQuery = PathAndQuery::from_static("/event_store.client.streams.Streams/Append");

/// Calls Streams.Read; the answers stay bytes, of which none may be larger than `limit`.
pub(crate) async fn read(
    channel: Channel,
    request: Request<ReadReq>,
    limit: u64,
) -> Result<Streaming<Bytes>, Error> {
    let answer = ready(channel, limit).await?.server_streaming(request, READ, RawAnswers::default()).await;
    Ok(answer.map_err(Error::from)?.into_inner())
}

/// Calls Streams.Append; the answer stays bytes, as a failure to decode it is told from one of the server.
pub(crate) async fn append(
    channel: Channel,
    request: Request<impl Stream<Item = AppendReq> + Send + 'static>,
) -> Result<Bytes, Status> {
    let mut grpc = ready(channel, MAX_MESSAGE_SIZE).await?;
    Ok(grpc.client_streaming(request, APPEND, RawAnswers::default()).await?.into_inner())
}

/// Calls Streams.Delete.
pub(crate) async fn delete(channel: Channel, request: Request<DeleteReq>) -> Result<Bytes, Status> {
    unary(channel, request, DELETE, MAX_MESSAGE_SIZE).await
}

/// Calls Streams.Tombstone.
pub(crate) async fn tombstone(channel: Channel, request: Request<TombstoneReq>) -> Result<Bytes, Status> {
    unary(channel, request, TOMBSTONE, MAX_MESSAGE_SIZE).await
}

/// Calls Gossip.Read.
pub(crate) async fn gossip(channel: Channel) -> Result<Bytes, Status> {
    unary(channel, Request::new(Empty {}), GOSSIP, MAX_GOSSIP).await
}

/// A call with one answer, which stays bytes.
async fn unary<T: Message + Send + Sync + 'static>(
    channel: Channel,
    request: Request<T>,
    path: PathAndQuery,
    limit: u64,
) -> Result<Bytes, Status> {
    let mut grpc = ready(channel, limit).await?;
    Ok(grpc.unary(request, path, RawAnswers::default()).await?.into_inner())
}

async fn ready(channel: Channel, limit: u64) -> Result<Grpc<Judged>, Status> {
    // the limit is watched where it is told from what a server may say
    let mut grpc = Grpc::new(Judged::new(channel, limit)).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(Status::from_error)?;
    Ok(grpc)
}
