//! The seam to an issuer in the same process.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use spiffe::SpiffeId;
use tokio::sync::watch;

use crate::bundle::TrustBundles;

/// Issues X.509-SVIDs to callers of the same process, which need no proof of who they are.
pub trait Issue: Send + Sync + Debug {
    /// A chain for `id`, leaf first. Nothing of the request (PKCS#10, DER) but its public key is used; its
    /// signature is checked.
    fn issue<'a>(
        &'a self,
        id: &'a SpiffeId,
        csr_der: &'a [u8],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>>;

    /// The bundles of the issuer's own trust domain and of those that it federates with.
    fn bundles(&self) -> watch::Receiver<TrustBundles>;
}

/// Why nothing was issued.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IssueError {
    /// It will be refused again: the request breaks a rule.
    #[error("the issuer refuses: {0}")]
    Refused(String),
    /// It may succeed later.
    #[error("the issuer failed: {0}")]
    Failed(String),
}
