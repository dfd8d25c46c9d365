//! What we show to an endpoint, and how it is verified: chain by the given roots, then names.
//!
//! A verifier is a chain check and a name check side by side ([`PeerVerifier`]); SPIFFE verification has the same
//! shape with another pair of checks.

use std::sync::{Arc, LazyLock};

use model::{ClientTls, KeyPair, MeshWire, Roots, SubjectName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};

use crate::pem;
use crate::tls::{ConfigError, mesh_client, provider};

/// What is offered to the endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAlpn {
    /// `h2` and `http/1.1`; the endpoint chooses.
    Http,
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
    /// Nothing.
    None,
}

impl ClientAlpn {
    pub(super) fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::None => Vec::new(),
        }
    }
}

/// TLS to a backend's endpoints, prebuilt.
#[derive(Clone, Debug)]
pub struct ClientTlsConfig {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// SNI, and the name that is verified unless others are given.
    pub server_name: ServerName<'static>,
    pub(super) mesh: Option<MeshWire>,
}

impl ClientTlsConfig {
    /// The same with another offer. Sessions are not shared between the two.
    #[must_use]
    pub fn with_alpn(&self, alpn: ClientAlpn) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = match self.mesh {
            None => alpn.protocols(),
            Some(wire) => mesh_client::protocols(wire, alpn),
        };
        if self.mesh.is_none() {
            config.resumption = resumption();
        }
        Self { config: Arc::new(config), server_name: self.server_name.clone(), mesh: self.mesh }
    }
}

/// Builds TLS to a backend. `certificate` is the key pair that `tls.certificate` names.
///
/// # Errors
/// [`ConfigError`] names the part that cannot be used; no connection may be made then.
pub fn client_config(
    tls: &ClientTls,
    certificate: Option<&KeyPair>,
    alpn: ClientAlpn,
) -> Result<ClientTlsConfig, ConfigError> {
    let server_name = name(&tls.server_name)?;
    let roots = match &tls.roots {
        Roots::System => system_roots()?,
        Roots::Pem(anchors) => {
            pem::roots(&anchors.0).map_err(|source| ConfigError::Pem { what: "the CA".to_owned(), source })?
        }
    };
    let names = tls.names.iter().map(PeerName::new).collect::<Result<_, _>>()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier { roots, names }));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = pem::certified_key(pair)
                .map_err(|source| ConfigError::Pem { what: "the client certificate".to_owned(), source })?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
        }
    };
    config.alpn_protocols = alpn.protocols();
    config.resumption = resumption();
    Ok(ClientTlsConfig { config: Arc::new(config), server_name, mesh: None })
}

/// Sessions of one configuration; the endpoint was verified by the same rules when the session began.
fn resumption() -> Resumption {
    Resumption::in_memory_sessions(64)
}

pub(super) fn name(text: &Arc<str>) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(text.to_string()).map_err(|_| ConfigError::ServerName { name: Arc::clone(text) })
}

/// The system's roots, read once.
fn system_roots() -> Result<Arc<RootCertStore>, ConfigError> {
    static ROOTS: LazyLock<Result<Arc<RootCertStore>, String>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(if causes.is_empty() { "none were found".to_owned() } else { causes.join("; ") });
        }
        Ok(Arc::new(store))
    });
    ROOTS.clone().map_err(|detail| ConfigError::NoSystemRoots { detail })
}

/// A name that a peer's certificate may carry.
#[derive(Debug)]
enum PeerName {
    Dns(ServerName<'static>),
    Uri(Arc<str>),
}

impl PeerName {
    fn new(name: &SubjectName) -> Result<Self, ConfigError> {
        match name {
            SubjectName::Dns(text) => self::name(text).map(Self::Dns),
            SubjectName::Uri(uri) => Ok(Self::Uri(Arc::clone(uri))),
        }
    }
}

/// Verifies an endpoint: its chain by the roots, then any one of the names, or the server name if there are none.
#[derive(Debug)]
struct PeerVerifier {
    roots: Arc<RootCertStore>,
    names: Vec<PeerName>,
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        if self.names.is_empty() {
            verify_server_name(&certificate, server_name)?;
        } else {
            self.verify_names(leaf, &certificate)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl PeerVerifier {
    fn verify_names(
        &self,
        leaf: &CertificateDer<'_>,
        certificate: &ParsedCertificate<'_>,
    ) -> Result<(), rustls::Error> {
        let parsed = webpki::EndEntityCert::try_from(leaf)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let found = self.names.iter().any(|name| match name {
            PeerName::Dns(name) => verify_server_name(certificate, name).is_ok(),
            PeerName::Uri(wanted) => parsed.valid_uri_names().any(|uri| *uri == **wanted),
        });
        if found {
            return Ok(());
        }
        let error = NoName { wanted: self.names.iter().map(ToString::to_string).collect() };
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
    }
}

impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(&name.to_str()),
            Self::Uri(uri) => f.write_str(uri),
        }
    }
}

/// None of the wanted names is in the certificate.
#[derive(Debug, thiserror::Error)]
#[error("the certificate carries none of the names {}", wanted.join(", "))]
struct NoName {
    wanted: Vec<String>,
}
