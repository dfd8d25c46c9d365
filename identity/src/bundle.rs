//! Trust bundles: the roots and JWT keys of one trust domain, and the set of them by trust domain.
//!
//! Bundles of different trust domains are never merged: a peer is judged by its own domain's alone.

mod document;
mod jwt_key;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use spiffe::TrustDomain;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

pub use jwt_key::{JwtKey, JwtKeyError};

use crate::pem::{self, PemError};

/// What one trust domain is believed by. Without a root, everything of it is revoked.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct TrustBundle {
    /// Roots.
    pub x509: Vec<CertificateDer<'static>>,
    /// Keys that sign JWT-SVIDs.
    pub jwt: Vec<JwtKey>,
    /// Grows with every change (`spiffe_sequence`).
    pub sequence: Option<u64>,
    /// How soon to look for a change (`spiffe_refresh_hint`), between [`MIN_REFRESH`] and [`MAX_REFRESH`].
    pub refresh_hint: Option<Duration>,
}

/// Bundles by trust domain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustBundles(pub BTreeMap<TrustDomain, Arc<TrustBundle>>);

/// Why a bundle cannot be used. Whoever holds an earlier one keeps it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// PEM that cannot be read.
    #[error("the roots cannot be read: {0}")]
    Pem(#[from] PemError),
    /// Not JSON, or not the JSON of a bundle.
    #[error("the bundle document cannot be read: {0}")]
    Json(String),
    /// No member `keys`: without it nothing may be concluded, with an empty one everything is revoked.
    #[error("the bundle document has no member \"keys\"")]
    NoKeys,
    /// More bytes than are read.
    #[error("the bundle document has {bytes} bytes, at most {max} are read")]
    TooLarge {
        /// How many.
        bytes: usize,
        /// How many are allowed.
        max: usize,
    },
    /// An entry of a known kind that is broken.
    #[error("entry {position} of the bundle document is broken: {detail}")]
    BadEntry {
        /// Its place, from 1.
        position: usize,
        /// What is wrong.
        detail: String,
    },
    /// A certificate that is no CA's.
    #[error("root {position} is no CA certificate")]
    NotCa {
        /// Its place, from 1.
        position: usize,
    },
    /// A sequence that is not a number of at most 64 bits.
    #[error("spiffe_sequence {0} is no number from 0 to 2^64-1")]
    BadSequence(String),
    /// It is older than the one that is held.
    #[error("spiffe_sequence goes back from {held} to {found}")]
    SequenceGoesBack {
        /// Of the bundle that is held.
        held: u64,
        /// Of the new one.
        found: u64,
    },
}

/// Shortest time between two looks at a bundle endpoint.
pub const MIN_REFRESH: Duration = Duration::from_secs(60);
/// Longest time between two looks at a bundle endpoint.
pub const MAX_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

impl TrustBundle {
    /// Reads roots from PEM: at least one.
    ///
    /// # Errors
    /// [`BundleError`] says which root is broken.
    pub fn from_pem(text: &str) -> Result<Self, BundleError> {
        Self::from_roots(pem::certificates(text)?)
    }

    /// Takes roots, each checked to be a CA's certificate.
    ///
    /// # Errors
    /// [`BundleError::NotCa`] or [`BundleError::Pem`].
    pub fn from_roots(roots: Vec<CertificateDer<'static>>) -> Result<Self, BundleError> {
        for (index, root) in roots.iter().enumerate() {
            check_root(root, index + 1)?;
        }
        Ok(Self { x509: roots, ..Self::default() })
    }

    /// Reads a SPIFFE bundle document (SPIFFE Trust Domain and Bundle §4). Entries of unknown kind are left out.
    ///
    /// # Errors
    /// [`BundleError`] says what is broken.
    pub fn from_document(document: &[u8]) -> Result<Self, BundleError> {
        document::read(document)
    }

    /// Writes it as a SPIFFE bundle document.
    pub fn to_document(&self) -> String {
        document::write(self)
    }

    /// Refuses a bundle that is older than this one, of the same trust domain (B05).
    ///
    /// # Errors
    /// [`BundleError::SequenceGoesBack`].
    pub fn check_successor(&self, next: &Self) -> Result<(), BundleError> {
        match (self.sequence, next.sequence) {
            (Some(held), Some(found)) if found < held => Err(BundleError::SequenceGoesBack { held, found }),
            _ => Ok(()),
        }
    }

    /// The JWT key with that identifier.
    pub fn jwt_key(&self, id: &str) -> Option<&JwtKey> {
        self.jwt.iter().find(|key| key.id() == id)
    }

    /// The roots as PEM.
    pub fn to_pem(&self) -> String {
        self.x509.iter().map(|root| pem::encode("CERTIFICATE", root)).collect()
    }
}

impl TrustBundles {
    /// Reads a map of SPIFFE bundle documents (member `trust_domains`). A trust domain that stands in it twice is an
    /// error.
    ///
    /// # Errors
    /// [`BundleError`] says what is broken.
    pub fn from_document(document: &[u8]) -> Result<Self, BundleError> {
        document::read_map(document)
    }

    /// One trust domain's alone.
    pub fn of(trust_domain: TrustDomain, bundle: TrustBundle) -> Self {
        Self(BTreeMap::from([(trust_domain, Arc::new(bundle))]))
    }
}

/// A root must be a certificate that webpki can start from, and must not deny being a CA's.
fn check_root(root: &CertificateDer<'_>, position: usize) -> Result<(), BundleError> {
    let broken = |detail: String| BundleError::Pem(PemError::BadCertificate { position, detail });
    webpki::anchor_from_trusted_cert(root).map_err(|error| broken(format!("{error:?}")))?;
    let (_, parsed) = X509Certificate::from_der(root).map_err(|error| broken(error.to_string()))?;
    let constraints = parsed.basic_constraints().map_err(|error| broken(error.to_string()))?;
    match constraints {
        Some(constraints) if !constraints.value.ca => Err(BundleError::NotCa { position }),
        _ => Ok(()),
    }
}

/// Short: a bundle stands in many dumps.
impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("x509", &self.x509.len())
            .field("jwt", &self.jwt.len())
            .field("sequence", &self.sequence)
            .field("refresh_hint", &self.refresh_hint)
            .finish()
    }
}

#[cfg(test)]
mod tests;
