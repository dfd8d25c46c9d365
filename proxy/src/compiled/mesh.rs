//! Mesh peers as clients of a listener: the TLS that asks for them, and who of them is let in.

use std::sync::Arc;

use identity::{ServerTlsConfig, WorkloadId};
use model::{MeshClients, MeshMode};

use crate::mesh::LiveIdentity;

/// Mesh peers as clients.
#[derive(Debug)]
pub struct CompiledMesh {
    /// Who is let in.
    pub clients: MeshClients,
    /// Whose bundles judge them.
    pub live: Arc<LiveIdentity>,
    /// Our SVID is shown to them, not a certificate of the listener's.
    pub shown: bool,
    /// TLS that asks for them. Its verifier has judged whoever comes through.
    pub config: ServerTlsConfig,
}

/// Mesh peers on a listener that is not TLS by itself: TLS is looked for.
#[derive(Debug)]
pub struct CompiledMeshListener {
    /// Whether others are let in.
    pub mode: MeshMode,
    /// How mesh peers are taken, or why they cannot be: TLS is refused then.
    pub peers: Result<Arc<CompiledMesh>, Arc<str>>,
}

impl CompiledMesh {
    /// Whether a peer that `judge` has verified is let in here; none: a client without a certificate.
    pub fn admits(&self, peer: Option<&WorkloadId>, judge: &LiveIdentity) -> bool {
        match peer {
            None => self.clients.mode == MeshMode::Permissive,
            Some(id) => {
                std::ptr::eq(&*self.live, judge) && self.clients.peers.iter().any(|peers| id.matches(peers))
            }
        }
    }
}
