//! Asking a node who is in its cluster.

use std::time::Duration;

use prost::Message;
use tokio::time::timeout;
use wire::connection_string::Endpoint;
use wire::error::{Error, Which};
use wire::proto::gossip::{ClusterInfo, MemberInfo};

use crate::calls;
use crate::choice::Member;
use crate::node::Node;
use crate::spoken::Spoken;

/// What a node tells. Nobody has to be known to be told, so no credentials go out to whoever a cluster names.
pub(crate) async fn members(node: &Node, within: Duration) -> Result<Vec<Member>, Error> {
    let asked = timeout(within, calls::gossip(node.shared()));
    let answer = match asked.await {
        Ok(answer) => answer.map_err(Error::from).map_err(|error| node.named(error))?,
        Err(_) => {
            let message = format!("{} did not tell of its cluster within {}", node.address(), Spoken(within));
            return Err(Error::Unavailable { message });
        }
    };
    let cluster = ClusterInfo::decode(answer).map_err(|error| Error::Undecodable {
        what: Which::Answer,
        message: format!("{} told of its cluster in words that are none: {error}", node.address()),
    })?;
    Ok(cluster.members.into_iter().filter_map(member).collect())
}

/// `None` where there is no address, or a state that nobody knows.
fn member(told: MemberInfo) -> Option<Member> {
    let state = told.state();
    let at = told.http_end_point?;
    let port = u16::try_from(at.port).ok()?;
    let host = at.address.trim_matches(['[', ']']).to_ascii_lowercase();
    Some(Member { endpoint: Endpoint { host, port }, state, is_alive: told.is_alive })
}
