//! An X.509-SVID of our own: chain and key, checked to belong together.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use model::{PeerProfile, Secret};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::id::WorkloadId;
use crate::pem::{self, PemError};
use crate::verify::{Forgiven, Leaf, VerifyError};

/// A certificate chain with its key. Cheap to clone; no form of output shows the key.
#[derive(Clone)]
pub struct X509Svid(Arc<Inner>);

struct Inner {
    leaf: Leaf,
    serial: String,
    issuer: String,
    chain: Vec<CertificateDer<'static>>,
    certified_key: Arc<CertifiedKey>,
    key: Zeroizing<Vec<u8>>,
    key_label: &'static str,
}

/// Why a chain and a key make no SVID.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SvidError {
    /// Certificates or key that cannot be read, or that do not belong together.
    #[error("the SVID cannot be read: {0}")]
    Pem(#[from] PemError),
    /// The leaf breaks a rule of the profile.
    #[error("the SVID's leaf breaks a rule: {0}")]
    Leaf(#[from] VerifyError),
}

impl X509Svid {
    /// Takes a chain, leaf first, and its key (PKCS#8, PKCS#1 or SEC1). Looks neither at the clock nor at trust.
    ///
    /// # Errors
    /// [`SvidError`]: the key is not the leaf's (X32), or the leaf breaks a rule of the profile.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        profile: PeerProfile,
    ) -> Result<Self, SvidError> {
        let first = chain.first().ok_or(PemError::NoCertificate)?;
        let parsed = pem::parse(first, 1)?;
        let leaf = Leaf::of(&parsed, profile)?;
        let (serial, issuer) = (parsed.raw_serial_as_string(), parsed.issuer().to_string());
        let key_label = match &key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let secret = Zeroizing::new(key.secret_der().to_vec());
        let signing = pem::signing_key(key)?;
        let certified = pem::belonging(CertifiedKey::new(chain.clone(), signing))?;
        let certified_key = Arc::new(certified);
        Ok(Self(Arc::new(Inner { leaf, serial, issuer, chain, certified_key, key: secret, key_label })))
    }

    /// Reads chain and key from PEM.
    ///
    /// # Errors
    /// As for [`X509Svid::new`].
    pub fn from_pem(chain: &str, key: &str, profile: PeerProfile) -> Result<Self, SvidError> {
        Self::new(pem::certificates(chain)?, pem::private_key_of(key)?, profile)
    }

    /// Who it says we are.
    pub fn id(&self) -> &WorkloadId {
        &self.0.leaf.id
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// For rustls.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.0.certified_key
    }

    /// From when it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.0.leaf.not_before
    }

    /// From when it is no longer valid.
    pub fn not_after(&self) -> SystemTime {
        self.0.leaf.not_after
    }

    /// The leaf's serial number: hex, colons between the bytes.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// The leaf's issuer, for people.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// What a strict peer could refuse it for.
    pub fn forgiven(&self) -> &[Forgiven] {
        &self.0.leaf.forgiven
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        self.0.chain.iter().map(|certificate| pem::encode("CERTIFICATE", certificate)).collect()
    }

    /// The key as PEM: for the Workload API and for files, and for nothing else.
    pub fn key_pem(&self) -> Secret<Arc<str>> {
        Secret::new(pem::encode(self.0.key_label, &self.0.key).into())
    }

    /// The key as DER, in the form in which it came (PKCS#8 for the Workload API).
    pub fn key_der(&self) -> Secret<Zeroizing<Vec<u8>>> {
        Secret::new(self.0.key.clone())
    }
}

impl PartialEq for X509Svid {
    fn eq(&self, other: &Self) -> bool {
        // One leaf has one key.
        self.0.chain == other.0.chain
    }
}

impl Eq for X509Svid {}

impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Svid")
            .field("id", self.id())
            .field("serial", &self.serial())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
