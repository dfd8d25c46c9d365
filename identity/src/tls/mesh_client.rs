//! Dialling a meshed endpoint: we show our SVID, and the peer must be one of those that were named.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::{MeshWire, PeerProfile};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::client::{self, ClientAlpn, ClientTlsConfig};
use super::mesh::{self, Judge};
use super::{ConfigError, provider};
use crate::bundle::TrustBundles;
use crate::clock::Clock;
use crate::id::WorkloadId;
use crate::material::Identity;
use crate::verify::{Role, Trust};

/// What a connection to a meshed endpoint is made of.
#[derive(Clone, Copy, Debug)]
pub struct MeshClient<'a> {
    /// Who we are, and whose bundles judge the endpoint.
    pub identity: &'a Identity,
    /// The endpoint must be one of these, compared byte by byte; empty matches nobody.
    pub ids: &'a [Arc<str>],
    /// SNI; none sends none. It is never compared with the certificate's names (X29).
    pub server_name: Option<&'a str>,
    /// How the mesh writes ALPN.
    pub wire: MeshWire,
    /// What is offered.
    pub alpn: ClientAlpn,
}

/// Builds TLS to a meshed endpoint.
///
/// # Errors
/// [`ConfigError`] names the part that cannot be used; no connection may be made then. An identity without material is
/// no error: handshakes fail until it has some.
pub fn mesh_client_config(mesh: MeshClient<'_>) -> Result<ClientTlsConfig, ConfigError> {
    let judge = Judge::Identity(mesh.identity.clone());
    let verifier = MeshEndpoint { judge, ids: mesh.ids.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(OwnSvid(mesh.identity.clone())));
    finish(config, mesh.server_name, mesh.wire, mesh.alpn)
}

/// TLS to a server that must be one of `ids` by bundles that are given once, shown no certificate: a bundle endpoint
/// of profile `https_spiffe`.
///
/// # Errors
/// [`ConfigError`]: rustls refuses the settings.
pub fn pinned_client_config(
    bundles: &TrustBundles,
    ids: &[WorkloadId],
    profile: PeerProfile,
    clock: Clock,
    server_name: Option<&str>,
    alpn: ClientAlpn,
) -> Result<ClientTlsConfig, ConfigError> {
    let judge = Judge::Pinned { trust: Arc::new(Trust::new(bundles, Vec::new())), profile, clock };
    let verifier = MeshEndpoint { judge, ids: ids.iter().map(|id| id.as_str().into()).collect() };
    let config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    finish(config, server_name, MeshWire::Spiffe, alpn)
}

fn finish(
    mut config: ClientConfig,
    server_name: Option<&str>,
    wire: MeshWire,
    alpn: ClientAlpn,
) -> Result<ClientTlsConfig, ConfigError> {
    config.alpn_protocols = protocols(wire, alpn);
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    let server_name = match server_name {
        Some(name) => client::name(&name.into())?,
        None => {
            config.enable_sni = false;
            // rustls wants a name; this one goes nowhere.
            ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
        }
    };
    Ok(ClientTlsConfig { config: Arc::new(config), server_name, mesh: Some(wire) })
}

/// What is offered. Istio's sidecars tell mesh mTLS from an application's own TLS by these values; the common one
/// behind them is what their own list has, so that something can be chosen.
pub(super) fn protocols(wire: MeshWire, alpn: ClientAlpn) -> Vec<Vec<u8>> {
    match (wire, alpn) {
        (MeshWire::Spiffe, alpn) => alpn.protocols(),
        (MeshWire::Istio, ClientAlpn::Http) => {
            mesh::values(&["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"])
        }
        (MeshWire::Istio, ClientAlpn::Http1) => mesh::values(&["istio-http/1.1", "istio", "http/1.1"]),
        (MeshWire::Istio, ClientAlpn::Http2) => mesh::values(&["istio-h2", "istio", "h2"]),
        (MeshWire::Istio, ClientAlpn::None) => mesh::values(&["istio"]),
    }
}

/// Shows the SVID of the moment.
#[derive(Debug)]
struct OwnSvid(Identity);

impl ResolvesClientCert for OwnSvid {
    /// The server's hints are not looked at: there is one SVID. Without material there is none; the handshake then fails,
    /// as the verifier has nothing to judge the server by either.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.certified_key()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Verifies a meshed endpoint.
#[derive(Debug)]
struct MeshEndpoint {
    judge: Judge,
    ids: Vec<Arc<str>>,
}

impl ServerCertVerifier for MeshEndpoint {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let allows = |id: &WorkloadId| self.ids.iter().any(|wanted| **wanted == *id.as_str());
        self.judge.judge(leaf, intermediates, Role::Server, allows)?;
        Ok(ServerCertVerified::assertion())
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
