//! What both sides of mesh mTLS share: who judges the peer, the ALPN values, what was chosen.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::CertificateDer;
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::clock::Clock;
use crate::id::WorkloadId;
use crate::material::Identity;
use crate::tls::provider;
use crate::verify::{Role, Trust, VerifyError};

/// By what a peer is judged.
#[derive(Debug)]
pub(super) enum Judge {
    /// By an identity's material of the moment.
    Identity(Identity),
    /// By bundles that stay: a bundle endpoint's server, before there is an identity.
    Pinned { trust: Arc<Trust>, profile: model::PeerProfile, clock: Clock },
}

impl Judge {
    /// Verifies the chain, then asks whether such a peer is wanted here.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        allows: impl FnOnce(&WorkloadId) -> bool,
    ) -> Result<(), rustls::Error> {
        let mut chain = Vec::with_capacity(intermediates.len() + 1);
        chain.push(leaf.clone());
        chain.extend(intermediates.iter().cloned());
        let verified = match self {
            Self::Identity(identity) => identity.verify(&chain, role),
            Self::Pinned { trust, profile, clock } => trust.verify(&chain, role, *profile, clock.now()),
        };
        let allowed = verified.and_then(|verified| {
            if allows(&verified.id) {
                Ok(verified)
            } else {
                Err(VerifyError::NotAllowed { id: verified.id.as_str().into() })
            }
        });
        match (self, allowed) {
            (Self::Identity(identity), Ok(verified)) => {
                identity.counters().count_forgiven(&verified.forgiven);
                Ok(())
            }
            (Self::Pinned { .. }, Ok(_)) => Ok(()),
            (Self::Identity(identity), Err(error)) => {
                identity.counters().count_refused(role, &error);
                Err(error.into_rustls())
            }
            (Self::Pinned { .. }, Err(error)) => Err(error.into_rustls()),
        }
    }
}

/// The handshake's own signature, TLS 1.2.
pub(super) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
}

/// The handshake's own signature, TLS 1.3.
pub(super) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
}

pub(super) fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

/// What an ALPN value says about the bytes inside TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpVersion {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
    /// Istio mTLS around bytes whose protocol it does not say (`istio`).
    Opaque,
    /// Nothing was agreed on: look at the bytes.
    Unknown,
}

/// Reads the ALPN value that was chosen, of either wire.
pub fn http_version(alpn: Option<&[u8]>) -> HttpVersion {
    match alpn {
        Some(b"h2" | b"istio-h2") => HttpVersion::Http2,
        Some(b"http/1.1" | b"http/1.0" | b"istio-http/1.1" | b"istio-http/1.0") => HttpVersion::Http1,
        Some(b"istio") => HttpVersion::Opaque,
        _ => HttpVersion::Unknown,
    }
}

pub(super) fn values(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}
