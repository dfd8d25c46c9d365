//! TLS servers: which certificate, which client certificates, what is inside.

use std::sync::Arc;

use identity::ServerTlsConfig;

use super::{CompiledL4, CompiledMesh, CompiledServer, HostTable};

/// A Gateway API listener of protocol HTTPS or TLS.
#[derive(Debug)]
pub enum CompiledTlsServer {
    /// TLS ends here.
    Terminate {
        /// Certificates, versions, ALPN, client verification.
        config: ServerTlsConfig,
        /// What is inside.
        inner: CompiledTlsInner,
        /// What the client is asked for.
        client_auth: ClientAuthMode,
        /// Mesh peers, where the client is asked to be one.
        mesh: Option<Arc<CompiledMesh>>,
    },
    /// TLS goes through untouched; the SNI picks the route.
    Passthrough(HostTable<Arc<CompiledL4>>),
    /// Handshakes are refused.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// What a terminated TLS connection carries.
#[derive(Debug)]
pub enum CompiledTlsInner {
    /// HTTP/1.1 or HTTP/2 by ALPN.
    Http(Arc<CompiledServer>),
    /// Opaque bytes, routed by SNI.
    Tcp(HostTable<Arc<CompiledL4>>),
}

/// What the client is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuthMode {
    /// Nothing.
    None,
    /// A certificate that verifies.
    Require,
    /// A certificate; a missing or invalid one is let in unverified.
    InsecureFallback,
    /// A mesh peer's SVID.
    Mesh,
}

impl CompiledTlsServer {
    /// Whether this is the server `chosen`, maybe of another generation.
    pub fn serves(&self, chosen: &CompiledServer) -> bool {
        match self {
            Self::Terminate { inner: CompiledTlsInner::Http(server), .. } => server.is_same(chosen),
            Self::Terminate { inner: CompiledTlsInner::Tcp(_), .. }
            | Self::Passthrough(_)
            | Self::Closed { .. } => false,
        }
    }
}
