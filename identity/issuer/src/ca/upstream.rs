//! Authorities above us, which sign our signing certificate.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

/// An authority that signs intermediates: Vault, cert-manager, another issuer.
pub trait UpstreamAuthority: Send + Sync + fmt::Debug {
    /// Has a CA certificate signed for the public key of a request (PKCS#10, DER).
    fn mint_x509_ca(&self, csr_der: Vec<u8>, ttl: Duration) -> BoxFuture<'_, Result<Minted, UpstreamError>>;

    /// The roots of the trust domain. They change under us, and every change is published at once.
    fn roots(&self) -> watch::Receiver<Vec<CertificateDer<'static>>>;
}

/// What an authority above us gave.
#[derive(Clone, Debug)]
pub struct Minted {
    /// Our certificate, then those above it, without the root.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why an authority above us gave nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the authority above did not sign: {0}")]
pub struct UpstreamError(pub String);
