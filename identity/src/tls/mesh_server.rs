//! A listener in the mesh: it shows our SVID, or certificates of its own, and takes mesh peers as clients.
//!
//! The configuration is built once. Its resolver and its verifier load the material at each handshake. Sessions are
//! never resumed: a resumed one would skip the verifier (X30).

use std::sync::Arc;

use model::{KeyPair, MeshClients, MeshMode, PeerMatch, TlsVersion};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use super::mesh::{self, Judge};
use super::server::{Certificates, Peers, versions};
use super::{ConfigError, ServerTlsConfig, provider};
use crate::material::Identity;
use crate::verify::Role;

/// What a mesh listener is made of.
#[derive(Clone, Copy, Debug)]
pub struct MeshServer<'a> {
    /// Whose bundles judge clients, and whose SVID is shown.
    pub identity: &'a Identity,
    /// The clients; none: nobody is asked for a certificate.
    pub clients: Option<&'a MeshClients>,
    /// Certificates to show instead of the SVID; empty: the SVID.
    pub certificates: &'a [&'a KeyPair],
    /// Lowest version offered.
    pub min_version: TlsVersion,
    /// What is spoken inside.
    pub alpn: MeshAlpn,
}

/// What is spoken inside a mesh listener's TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MeshAlpn {
    /// HTTP: Istio's values and the common ones, HTTP/2 first. rustls refuses a client that offers nothing of the list,
    /// so Istio's are in it, and `istio` last for clients that offer nothing else.
    Http,
    /// Nothing is chosen, whatever is offered.
    None,
}

impl MeshAlpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => {
                mesh::values(&["istio-h2", "h2", "istio-http/1.1", "http/1.1", "istio-http/1.0", "istio"])
            }
            Self::None => Vec::new(),
        }
    }
}

/// Builds a mesh listener's TLS.
///
/// # Errors
/// [`ConfigError`] names the certificate that cannot be used. An identity without material is no error: handshakes are
/// refused until it has some.
pub fn mesh_server_config(server: MeshServer<'_>) -> Result<ServerTlsConfig, ConfigError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions(server.min_version))?;
    let (verifier, peers): (Arc<dyn ClientCertVerifier>, _) = match server.clients {
        None => (Arc::new(NoClientAuth), Peers::Unasked),
        Some(clients) => (Arc::new(MeshPeers::new(server.identity, clients)), Peers::Verified),
    };
    let resolver: Arc<dyn ResolvesServerCert> = if server.certificates.is_empty() {
        Arc::new(OwnSvid(server.identity.clone()))
    } else {
        Arc::new(Certificates::new(server.certificates)?)
    };
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    config.alpn_protocols = server.alpn.protocols();
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(ServerTlsConfig { config: Arc::new(config), peers })
}

/// Shows the SVID of the moment.
#[derive(Debug)]
struct OwnSvid(Identity);

impl ResolvesServerCert for OwnSvid {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certified_key()
    }
}

/// Verifies mesh peers as clients, and lets in those that are wanted.
#[derive(Debug)]
struct MeshPeers {
    judge: Judge,
    peers: Vec<PeerMatch>,
    mandatory: bool,
}

impl MeshPeers {
    fn new(identity: &Identity, clients: &MeshClients) -> Self {
        Self {
            judge: Judge::Identity(identity.clone()),
            peers: clients.peers.clone(),
            mandatory: clients.mode == MeshMode::Strict,
        }
    }
}

impl ClientCertVerifier for MeshPeers {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: roots change under a configuration that stays, and a peer shows its only SVID anyway.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let allows = |id: &_| self.peers.iter().any(|peers| crate::WorkloadId::matches(id, peers));
        self.judge.judge(leaf, intermediates, Role::Client, allows)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        mesh::verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        mesh::verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        mesh::schemes()
    }
}
