//! `Gossip.Read`: a cluster of one.

use wire::proto::gossip::{ClusterInfo, EndPoint, MemberInfo, member_info::VNodeState};

use crate::messages::structured;
use crate::node::Node;
use crate::time::now;

/// The one member, as others are told of it.
pub fn cluster(node: &Node) -> ClusterInfo {
    let (host, port) = &node.address;
    let http_end_point = EndPoint { address: host.clone(), port: u32::from(*port) };
    ClusterInfo {
        members: vec![MemberInfo {
            instance_id: Some(structured(node.instance.as_u128())),
            time_stamp: i64::try_from(now()).unwrap_or(i64::MAX),
            state: VNodeState::Leader.into(),
            is_alive: true,
            http_end_point: Some(http_end_point),
        }],
    }
}
