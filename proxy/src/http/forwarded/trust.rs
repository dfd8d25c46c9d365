//! Which entry of `X-Forwarded-For` is the client.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use identity::WorkloadId;
use model::Forwarded;

use super::X_FORWARDED_FOR;

/// Whether a peer's forwarding headers are believed. Named peers are believed alone, by network or by verified mesh
/// identity; hops without names believe whoever connects, which is right behind a load balancer that nobody can go
/// around.
pub(crate) fn believed(peer: IpAddr, id: Option<&WorkloadId>, policy: &Forwarded) -> bool {
    if policy.trusted.is_empty() && policy.trusted_peers.is_empty() {
        return policy.trusted_hops > 0;
    }
    is_trusted(peer, policy)
        || id.is_some_and(|id| policy.trusted_peers.iter().any(|peers| id.matches(peers)))
}

/// The client of a request from a believed peer.
///
/// With hops: that many entries from the right (Envoy's `xff_num_trusted_hops`); fewer entries than hops mean
/// that somebody went around a proxy, and only the peer is left to believe. Without hops: from the right, the
/// first address that is not a trusted one. An entry that is no address ends the walk.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, policy: &Forwarded) -> IpAddr {
    let fields = headers.get_all(X_FORWARDED_FOR);
    let mut entries = fields.iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    if let Some(skip) = policy.trusted_hops.checked_sub(1) {
        return entries.nth(skip as usize).and_then(address).unwrap_or(peer);
    }
    let mut client = peer;
    for entry in entries {
        let Some(address) = address(entry) else { break };
        client = address;
        if !is_trusted(address, policy) {
            break;
        }
    }
    client
}

fn is_trusted(address: IpAddr, policy: &Forwarded) -> bool {
    policy.trusted.iter().any(|network| network.contains(&address))
}

/// An entry's address; some proxies add the port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}
