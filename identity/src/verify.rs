//! Whether a peer is who its certificate says: SPIFFE X.509-SVID §5, by the named profiles.
//!
//! A chain is judged in the order of cost, so that a hostile one costs little: bounds, then the leaf's own rules, then
//! the bundle of the leaf's *own* trust domain and no other, then signatures, then revocation. The table X01–X32 in
//! `verify/tests` says what becomes of each broken rule.
//!
//! | file | what |
//! |---|---|
//! | `error` | the reasons |
//! | `bounds` | what is refused before a signature is looked at |
//! | `leaf` | the leaf's own rules |
//! | `paths` | how many paths a chain's names allow |
//! | `issuers` | the rules for what signed it, beyond webpki's |
//! | `trust` | anchors by trust domain, and the path to one of them |
//! | `revocation` | CRLs |
//!
//! | profile | the leaf's name | BasicConstraints |
//! |---|---|---|
//! | `spiffe-strict` | exactly one URI, a workload's SPIFFE ID | must be there |
//! | `istio` | the same; the path need not be `/ns/…/sa/…`, as federated domains have others | may be missing, counted |
//! | `linkerd-dns` | exactly one DNS name and no URI | may be missing, counted |
//!
//! Known limit (X23): webpki refuses every chain below a CA with URI name constraints, also one that they permit.

mod bounds;
mod error;
mod issuers;
mod leaf;
mod paths;
mod revocation;
mod trust;

use std::sync::Arc;
use std::time::SystemTime;

use model::PeerProfile;
use rustls::pki_types::CertificateDer;

pub use error::VerifyError;
pub use leaf::Forgiven;
pub(crate) use leaf::Leaf;
pub use revocation::CrlError;
pub(crate) use revocation::Revocations;
pub(crate) use trust::{Trust, Verified};

use crate::bundle::TrustBundles;
use crate::id::WorkloadId;

/// What the peer is to us in the handshake: which extended key usage its certificate needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It dials us.
    Client,
    /// We dial it.
    Server,
    /// Either: an SVID of our own.
    Any,
}

/// A verified peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerFacts {
    /// Who it is.
    pub id: WorkloadId,
    /// When its certificate ends: no connection may outlive it.
    pub not_after: SystemTime,
    /// What it showed, leaf first.
    pub chain: Arc<[CertificateDer<'static>]>,
}

/// Reads who the peer is off the certificates of a finished handshake. Says nothing of trust: the handshake did.
pub fn peer_facts(certificates: &[CertificateDer<'_>], profile: PeerProfile) -> Option<PeerFacts> {
    let leaf = Leaf::read(certificates.first()?, profile).ok()?;
    let chain = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    Some(PeerFacts { id: leaf.id, not_after: leaf.not_after, chain })
}

/// Verifies a chain, leaf first, against given bundles. For a handshake there are `mesh_server_config` and
/// `mesh_client_config`, which prebuild what this builds anew on every call.
///
/// # Errors
/// [`VerifyError`] names the broken rule.
pub fn verify_chain(
    chain: &[CertificateDer<'_>],
    bundles: &TrustBundles,
    role: Role,
    profile: PeerProfile,
    now: SystemTime,
) -> Result<PeerFacts, VerifyError> {
    let verified = Trust::new(bundles, Vec::new()).verify(chain, role, profile, now)?;
    let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    Ok(PeerFacts { id: verified.id, not_after: verified.not_after, chain })
}

/// Checks a leaf that is about to be issued: every rule of the profile, and nothing is forgiven.
///
/// # Errors
/// [`VerifyError`] names the broken rule.
pub fn lint_leaf(leaf: &CertificateDer<'_>, profile: PeerProfile) -> Result<WorkloadId, VerifyError> {
    bounds::check(std::slice::from_ref(leaf))?;
    let leaf = Leaf::read(leaf, profile)?;
    match leaf.forgiven.first() {
        None => Ok(leaf.id),
        Some(forgiven) => Err(VerifyError::Lint(*forgiven)),
    }
}

#[cfg(test)]
mod tests;
