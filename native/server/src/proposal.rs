//! Judges the events a client proposes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use store_core::{Command, Expected, MAX_APPEND, NewEvent};
use tonic::Status;
use uuid::Uuid;
use wire::proto::uuid::Value;

use crate::allowance::{Allowance, Share};
use crate::fault;

/// What an event takes besides its bytes.
const OVERHEAD: usize = 256;

/// The events of one append as they come in.
#[derive(Debug)]
pub struct Proposal {
    events: Vec<NewEvent>,
    size: usize,
    share: Share,
}

impl Proposal {
    /// No events yet, and besides them so many bytes that are held as long.
    ///
    /// # Errors
    /// When there is no room.
    pub fn new(allowance: &Arc<Allowance>, beside: usize) -> Result<Self, Status> {
        let mut share = Share::new(allowance);
        share.grow(OVERHEAD + beside).map_err(fault::exhausted)?;
        Ok(Self { events: Vec::new(), size: 0, share })
    }

    /// Takes one more event.
    ///
    /// # Errors
    /// When it lacks something, makes the append too large, or there is no room for it.
    pub fn add(
        &mut self,
        id: Option<wire::proto::Uuid>,
        mut metadata: BTreeMap<String, String>,
        custom: Bytes,
        data: Bytes,
    ) -> Result<(), Status> {
        let kind = metadata.remove("type").ok_or_else(|| fault::missing_metadata("type"))?;
        let content =
            metadata.remove("content-type").ok_or_else(|| fault::missing_metadata("content-type"))?;
        let id = event_id(id)?;
        if kind.is_empty() {
            return Err(fault::handler());
        }
        let length = kind.len() + custom.len() + data.len();
        self.size += length;
        if self.size >= MAX_APPEND {
            return Err(fault::append_too_large());
        }
        self.share.grow(OVERHEAD + length).map_err(fault::exhausted)?;
        let json = content == "application/json";
        // A copy: what came in keeps the whole of the request that it came in.
        let (data, custom) = (Bytes::copy_from_slice(&data), Bytes::copy_from_slice(&custom));
        self.events.push(NewEvent { id, kind, json, data, custom });
        Ok(())
    }

    /// The request to append them, and what they hold until it is answered.
    pub fn into_command(self, stream: String, expected: Expected) -> (Command, Share) {
        (Command::Append { stream, expected, events: self.events }, self.share)
    }
}

/// An id that an event may have: all zeros, which stands for none, is not one.
fn event_id(id: Option<wire::proto::Uuid>) -> Result<u128, Status> {
    match parse_id(id) {
        Some(id) if id != 0 => Ok(id),
        _ => Err(fault::handler()),
    }
}

/// An id in either form.
pub fn parse_id(id: Option<wire::proto::Uuid>) -> Option<u128> {
    match id?.value? {
        Value::String(text) => Uuid::try_parse(&text).ok().map(|id| id.as_u128()),
        Value::Structured(parts) => {
            let high = u128::from(parts.most_significant_bits as u64);
            Some(high << 64 | u128::from(parts.least_significant_bits as u64))
        }
    }
}
