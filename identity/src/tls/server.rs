//! What a listener shows to its clients and asks of them.
//!
//! A configuration belongs to one listener: its session tickets are its own, and there are none where client
//! certificates are asked for, so no session can carry a client past another listener's policy (CVE-2025-23419).

use std::sync::Arc;

use model::{ClientAuth, KeyPair, ServerTls, TlsVersion};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use crate::pem;
use crate::tls::{ConfigError, provider};

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerAlpn {
    /// `h2` and `http/1.1`.
    Http,
    /// Nothing is offered.
    None,
}

/// A listener's TLS, prebuilt.
#[derive(Clone, Debug)]
pub struct ServerTlsConfig {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    pub(super) peers: Peers,
}

/// What is known of a client after its handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerVerdict {
    /// It showed no certificate.
    Absent,
    /// It showed one, and holds its key, but it does not chain to the listener's roots.
    Unverified,
    /// It showed one that chains to the listener's roots, and holds its key.
    Verified,
}

#[derive(Clone, Debug)]
pub(super) enum Peers {
    /// Nobody is asked.
    Unasked,
    /// Only the verified get through.
    Verified,
    /// Everybody gets through; this one tells who is who.
    Anybody(Arc<dyn ClientCertVerifier>),
}

impl ServerTlsConfig {
    /// Judges the certificates that a finished handshake left (`peer_certificates()`, leaf first).
    pub fn verdict(&self, certificates: Option<&[CertificateDer<'_>]>) -> PeerVerdict {
        let Some((leaf, intermediates)) = certificates.and_then(|chain| chain.split_first()) else {
            return PeerVerdict::Absent;
        };
        match &self.peers {
            Peers::Unasked => PeerVerdict::Unverified,
            Peers::Verified => PeerVerdict::Verified,
            Peers::Anybody(verifier) => {
                match verifier.verify_client_cert(leaf, intermediates, UnixTime::now()) {
                    Ok(_) => PeerVerdict::Verified,
                    Err(_) => PeerVerdict::Unverified,
                }
            }
        }
    }
}

/// Builds a listener's TLS. `key_pairs` are those that `tls.certificates` names, in order.
///
/// # Errors
/// [`ConfigError`] names the part that cannot be used; the listener must then refuse handshakes.
pub fn server_config(
    tls: &ServerTls,
    key_pairs: &[&KeyPair],
    alpn: ServerAlpn,
) -> Result<ServerTlsConfig, ConfigError> {
    let certificates = Certificates::new(key_pairs)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions(tls.min_version))?;
    let (verifier, peers) = client_verifier(&tls.client_auth)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = match alpn {
        ServerAlpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        ServerAlpn::None => Vec::new(),
    };
    // No 0-RTT: a replayed request must not reach an endpoint.
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match peers {
        Peers::Unasked => config.ticketer = Ticketer::new()?,
        Peers::Verified | Peers::Anybody(_) => config.send_tls13_tickets = 0,
    }
    Ok(ServerTlsConfig { config: Arc::new(config), peers })
}

/// The versions that are spoken.
pub(super) fn versions(lowest: TlsVersion) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static FROM_1_2: [&rustls::SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    static FROM_1_3: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match lowest {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

fn client_verifier(auth: &ClientAuth) -> Result<(Arc<dyn ClientCertVerifier>, Peers), ConfigError> {
    let webpki = |pem: &str| -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
        let roots = pem::roots(pem)
            .map_err(|source| ConfigError::Pem { what: "the client CA".to_owned(), source })?;
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider()))
            .build()
            .map_err(|error| ConfigError::Rustls(error.to_string()))
    };
    match auth {
        ClientAuth::None => Ok((WebPkiClientVerifier::no_client_auth(), Peers::Unasked)),
        ClientAuth::Require(anchors) => Ok((webpki(&anchors.0)?, Peers::Verified)),
        ClientAuth::InsecureFallback(anchors) => {
            let judge = webpki(&anchors.0)?;
            Ok((Arc::new(Anybody { judge: Arc::clone(&judge) }), Peers::Anybody(judge)))
        }
        // A mesh peer is judged by an identity, not by roots: `mesh_server_config` does that.
        ClientAuth::Mesh(clients) => Err(ConfigError::ClientAuthClosed {
            reason: format!("mesh peers need the identity {}", clients.identity).into(),
        }),
        ClientAuth::Closed { reason } => Err(ConfigError::ClientAuthClosed { reason: Arc::clone(reason) }),
    }
}

/// Asks for a certificate and lets everybody in (GEP-91 `AllowInsecureFallback`). Whoever shows a certificate
/// still has to prove that the key is theirs: else [`PeerVerdict::Verified`] could be had with a stolen one.
#[derive(Debug)]
struct Anybody {
    judge: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client with a certificate of another CA should show it, so that the log can tell.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// A listener's key pairs. rustls' own resolver by SNI would refuse a certificate for `*` and a client without
/// SNI; which listener answers is settled before, so here something is always served.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Served>);

#[derive(Debug)]
struct Served {
    key: Arc<CertifiedKey>,
    dns_names: Vec<String>,
}

impl Certificates {
    pub(super) fn new(key_pairs: &[&KeyPair]) -> Result<Self, ConfigError> {
        if key_pairs.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        let served = key_pairs.iter().enumerate().map(|(index, pair)| {
            let broken = |source| ConfigError::Pem { what: format!("certificate {}", index + 1), source };
            let key = pem::certified_key(pair).map_err(broken)?;
            let leaf = key.cert.first().ok_or(ConfigError::NoCertificate)?;
            let dns_names = pem::facts(leaf, 1).map_err(broken)?.dns_names;
            Ok(Served { key: Arc::new(key), dns_names })
        });
        served.collect::<Result<_, _>>().map(Self)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Served> {
        let signs = |served: &&Served| served.key.key.choose_scheme(schemes).is_some();
        let named = |served: &&Served| {
            name.is_some_and(|name| served.dns_names.iter().any(|pattern| covers(pattern, name)))
        };
        self.0
            .iter()
            .find(|served| signs(served) && named(served))
            .or_else(|| self.0.iter().find(signs))
            .or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).map(|served| Arc::clone(&served.key))
    }
}

/// Whether a certificate's DNS name covers a host: equal, or `*.` for exactly one label (RFC 9525 §6.3).
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_by_one_label() {
        assert!(covers("a.example", "A.example"));
        assert!(covers("*.example", "a.example"));
        assert!(!covers("*.example", "a.b.example"));
        assert!(!covers("*.example", "example"));
        assert!(!covers("*", "example"));
    }
}
