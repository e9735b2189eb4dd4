//! `Gossip.Read`: who is in the cluster, be it a cluster of one.

use wire::proto::gossip::member_info::VNodeState;
use wire::proto::gossip::{ClusterInfo, EndPoint, MemberInfo};

use crate::messages::structured;
use crate::node::Node;
use crate::time::now;

/// A member, as others are told of it.
pub struct Told {
    /// Its id.
    pub instance: uuid::Uuid,
    /// Where it is found.
    pub address: (String, u16),
    /// What it is.
    pub state: VNodeState,
    /// Whether it is there.
    pub alive: bool,
    /// When it last was.
    pub seen: u64,
}

/// All members.
pub fn members(node: &Node) -> Vec<Told> {
    let Some(seat) = &node.seat else {
        let (instance, address) = (node.instance, node.address.clone());
        return vec![Told { instance, address, state: VNodeState::Leader, alive: true, seen: now() }];
    };
    let members = seat.members().into_iter();
    members
        .map(|member| Told {
            instance: member.instance,
            address: member.address,
            state: member.state,
            alive: member.alive,
            seen: member.seen,
        })
        .collect()
}

/// What this server is.
pub fn state(node: &Node) -> VNodeState {
    node.seat.as_ref().map_or(VNodeState::Leader, crate::cluster::Seat::state)
}

/// All members, as a message.
pub fn cluster(node: &Node) -> ClusterInfo {
    let told = |member: Told| {
        let (address, port) = member.address;
        MemberInfo {
            instance_id: Some(structured(member.instance.as_u128())),
            time_stamp: i64::try_from(member.seen).unwrap_or(i64::MAX),
            state: member.state.into(),
            is_alive: member.alive,
            http_end_point: Some(EndPoint { address, port: u32::from(port) }),
        }
    };
    ClusterInfo { members: members(node).into_iter().map(told).collect() }
}
