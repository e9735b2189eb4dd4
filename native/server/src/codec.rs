//! Requests are decoded by prost; answers are written as they are.

use std::marker::PhantomData;

use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::fault;
use crate::messages::Message;

/// The codec of a method whose requests are of one type.
pub struct ServerCodec<T>(PhantomData<fn() -> T>);

impl<T> Default for ServerCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: prost::Message + Default + Send + 'static> Codec for ServerCodec<T> {
    type Encode = Message;
    type Decode = T;
    type Encoder = Writer;
    type Decoder = Reader<T>;

    fn encoder(&mut self) -> Writer {
        Writer
    }

    fn decoder(&mut self) -> Reader<T> {
        Reader(PhantomData)
    }
}

/// Writes answers.
pub struct Writer;

impl Encoder for Writer {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, item: Message, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(out);
        Ok(())
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
