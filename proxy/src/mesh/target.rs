//! The way to a meshed endpoint: TLS configurations that are built once and shared by equal endpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use identity::{ClientAlpn, ClientTlsConfig, MeshClient, mesh_client_config};
use model::{BackendProtocol, MeshPeer, MeshWire};
use tracing::warn;

use super::identity::LiveIdentity;

/// Names a way within this process: who we are, who the peer must be, what is spoken. A connection made in one way is
/// never used for another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub struct TargetId(u64);

/// See the file's head.
#[derive(Debug)]
pub struct MeshTarget {
    /// Its name.
    pub id: TargetId,
    /// Who we are.
    pub live: Arc<LiveIdentity>,
    /// Who the peer is.
    pub peer: Arc<MeshPeer>,
    /// How it is dialled, or why it cannot be.
    pub configs: Result<MeshConfigs, Arc<str>>,
}

/// TLS by what is carried.
#[derive(Debug)]
pub struct MeshConfigs {
    /// Requests, by the backend's protocol.
    pub requests: ClientTlsConfig,
    /// A request that wants an upgrade: HTTP/1.1.
    pub upgrade: ClientTlsConfig,
    /// Bytes that are not ours to understand.
    pub bytes: ClientTlsConfig,
}

impl MeshTarget {
    fn new(live: &Arc<LiveIdentity>, peer: &Arc<MeshPeer>, protocol: BackendProtocol) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let configs = MeshConfigs::build(live, peer, protocol).map_err(|error| {
            warn!(%error, identity = %live.name(), "Meshed endpoint is closed: its peer cannot be verified");
            error.to_string().into()
        });
        Self {
            id: TargetId(NEXT.fetch_add(1, Ordering::Relaxed)),
            live: Arc::clone(live),
            peer: Arc::clone(peer),
            configs,
        }
    }
}

impl MeshConfigs {
    fn build(
        live: &LiveIdentity,
        peer: &MeshPeer,
        protocol: BackendProtocol,
    ) -> Result<Self, identity::ConfigError> {
        let config = |alpn| {
            mesh_client_config(MeshClient {
                identity: live.identity(),
                ids: &peer.ids,
                server_name: peer.server_name.as_deref(),
                wire: peer.wire,
                alpn,
            })
        };
        let requests = match (peer.wire, protocol) {
            (_, BackendProtocol::Http2) => ClientAlpn::Http2,
            // What a sidecar passes on is what it was offered, and only the user knows whether the workload takes
            // HTTP/2.
            (MeshWire::Istio, _) | (_, BackendProtocol::Http1) => ClientAlpn::Http1,
            (MeshWire::Spiffe, _) => ClientAlpn::Http,
        };
        Ok(Self {
            requests: config(requests)?,
            upgrade: config(ClientAlpn::Http1)?,
            bytes: config(ClientAlpn::None)?,
        })
    }
}

/// The ways of one identity that are in use.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: BTreeMap<Arc<MeshPeer>, Vec<(BackendProtocol, Weak<MeshTarget>)>>,
    /// That many peers are looked through for those that nobody needs any more.
    prune_at: usize,
}

impl Targets {
    pub(super) fn get(
        &mut self,
        live: &Arc<LiveIdentity>,
        peer: &Arc<MeshPeer>,
        protocol: BackendProtocol,
    ) -> Arc<MeshTarget> {
        if self.known.len() >= self.prune_at {
            self.known.retain(|_, ways| ways.iter().any(|(_, way)| way.strong_count() > 0));
            self.prune_at = (self.known.len() * 2).max(64);
        }
        let ways = self.known.entry(Arc::clone(peer)).or_default();
        let known = ways.iter().find(|(known, _)| *known == protocol).and_then(|(_, way)| way.upgrade());
        known.unwrap_or_else(|| {
            let target = Arc::new(MeshTarget::new(live, peer, protocol));
            ways.retain(|(known, _)| *known != protocol);
            ways.push((protocol, Arc::downgrade(&target)));
            target
        })
    }
}
