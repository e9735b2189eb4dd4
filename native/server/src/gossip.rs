//! `Gossip.Read`: a cluster of one.

use std::net::SocketAddr;

use uuid::Uuid;
use wire::proto::gossip::{ClusterInfo, EndPoint, MemberInfo, member_info::VNodeState};

use crate::engine::now;
use crate::messages::structured;

/// The one member, as others are told of it.
pub fn cluster(instance: Uuid, address: SocketAddr) -> ClusterInfo {
    let http_end_point = EndPoint { address: address.ip().to_string(), port: u32::from(address.port()) };
    ClusterInfo {
        members: vec![MemberInfo {
            instance_id: Some(structured(instance.as_u128())),
            time_stamp: i64::try_from(now()).unwrap_or(i64::MAX),
            state: VNodeState::Leader.into(),
            is_alive: true,
            http_end_point: Some(http_end_point),
        }],
    }
}
