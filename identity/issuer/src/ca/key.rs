//! Keys that sign certificates, wherever they are held.

use std::fmt;
use std::sync::Arc;

use rcgen::{PublicKeyData, SignatureAlgorithm, SubjectPublicKeyInfo};
use zeroize::Zeroizing;

/// A CA's private key: in memory, or in a device or service that signs for us.
pub trait CaKey: Send + Sync + fmt::Debug {
    /// The public key, as DER `SubjectPublicKeyInfo`.
    fn public(&self) -> &[u8];

    /// Signs a message (not its digest) with the algorithm that X.509 pairs with the key: ECDSA P-256 with
    /// SHA-256 and P-384 with SHA-384 (DER), RSA PKCS#1 with SHA-256. It may block: it is called on a blocking thread.
    ///
    /// # Errors
    /// The holder refuses or cannot be reached.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Why a key cannot be used. Never holds a part of it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// No key of a kind that we can sign with.
    #[error("the key cannot be used: {0}")]
    Unusable(String),
    /// Whoever holds the key did not sign.
    #[error("the key's holder did not sign: {0}")]
    Sign(String),
}

/// A key in memory.
pub(crate) struct MemoryKey {
    pair: rcgen::KeyPair,
    public: Vec<u8>,
}

impl MemoryKey {
    /// A new ECDSA P-256 key.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
        Ok(Self::of(pair))
    }

    /// A key from PEM: PKCS#8, SEC1 or PKCS#1.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        // The parser's words could quote its input, so they are dropped.
        let pair = rcgen::KeyPair::from_pem(pem)
            .map_err(|_| KeyError::Unusable("it is no PEM private key of a supported kind".to_owned()))?;
        Ok(Self::of(pair))
    }

    fn of(pair: rcgen::KeyPair) -> Self {
        let public = pair.subject_public_key_info();
        Self { pair, public }
    }

    /// The key itself as PKCS#8: for the journal, and for workloads that cannot make their own.
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// The key itself as PKCS#8, DER.
    pub(crate) fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }
}

impl fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKey")
    }
}

impl CaKey for MemoryKey {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        rcgen::SigningKey::sign(&self.pair, message).map_err(|error| KeyError::Sign(error.to_string()))
    }
}

/// A [`CaKey`] as the certificate builder wants it.
#[derive(Clone)]
pub(crate) struct Handle {
    key: Arc<dyn CaKey>,
    public: SubjectPublicKeyInfo,
}

impl Handle {
    pub(crate) fn new(key: Arc<dyn CaKey>) -> Result<Self, KeyError> {
        let public = SubjectPublicKeyInfo::from_der(key.public()).map_err(unusable)?;
        Ok(Self { key, public })
    }
}

impl PublicKeyData for Handle {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for Handle {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|error| {
            // The builder's error has no room for the reason.
            tracing::error!(%error, "The CA key did not sign");
            rcgen::Error::RemoteKeyError
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unusable(error: rcgen::Error) -> KeyError {
    KeyError::Unusable(error.to_string())
}
