//! Requests are decoded by prost. Answers do not come this way: `body` writes them.

use std::convert::Infallible;
use std::marker::PhantomData;

use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::fault;

/// The codec of a method whose requests are of one type.
pub struct ServerCodec<T>(PhantomData<fn() -> T>);

impl<T> Default for ServerCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: prost::Message + Default + Send + 'static> Codec for ServerCodec<T> {
    type Encode = Infallible;
    type Decode = T;
    type Encoder = Nothing;
    type Decoder = Reader<T>;

    fn encoder(&mut self) -> Nothing {
        Nothing
    }

    fn decoder(&mut self) -> Reader<T> {
        Reader(PhantomData)
    }
}

/// Writes nothing, and needs no buffer for it.
pub struct Nothing;

impl Encoder for Nothing {
    type Item = Infallible;
    type Error = Status;

    fn encode(&mut self, item: Infallible, _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {}
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, 0)
    }
}

/// Reads requests.
pub struct Reader<T>(PhantomData<fn() -> T>);

impl<T: prost::Message + Default> Decoder for Reader<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(bytes).map(Some).map_err(|_| fault::handler())
    }
}
