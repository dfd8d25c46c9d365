//! Key pairs and trust anchors out of Secrets, ConfigMaps and ClusterTrustBundles, each checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::{ClusterTrustBundle, ConfigMap, Secret};
use api::{Object, ObjectKey};
use identity::PemError;
use model::{KeyPair, SecretName, TrustAnchors};

use crate::grants::Granted;
use crate::index::Index;

/// Key pairs and trust anchors.
pub struct Certificates<'a> {
    index: &'a Index<'a>,
    pairs: BTreeMap<ObjectKey, Result<SecretName, CertificateError>>,
    anchors: BTreeMap<ObjectKey, Result<TrustAnchors, CertificateError>>,
    secrets: BTreeMap<SecretName, Arc<KeyPair>>,
}

/// Why a reference is no key pair or no trust anchor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// Of a kind that cannot hold it.
    #[error("{0} is of a kind that holds no certificates; use {1}")]
    Kind(Box<ObjectKey>, &'static str),
    /// There is no such object.
    #[error("{0} does not exist")]
    Missing(Box<ObjectKey>),
    /// It lacks a key.
    #[error("{object} has no {key} in its data")]
    NoKey {
        /// The object.
        object: Box<ObjectKey>,
        /// The key of its data.
        key: &'static str,
    },
    /// What is there is not what it should be.
    #[error("{object} holds no sound {what}: {source}")]
    Malformed {
        /// The object.
        object: Box<ObjectKey>,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        source: PemError,
    },
}

impl<'a> Certificates<'a> {
    /// Nothing is looked up yet.
    pub fn new(index: &'a Index<'a>) -> Self {
        Self { index, pairs: BTreeMap::new(), anchors: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    /// The key pair in a Secret (`tls.crt`, `tls.key`), checked.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn key_pair(&mut self, reference: &Granted<ObjectKey>) -> Result<SecretName, CertificateError> {
        let key = reference.get();
        if let Some(known) = self.pairs.get(key) {
            return known.clone();
        }
        let result = self.read_key_pair(reference).map(|pair| {
            let name = SecretName::from(format!("{}/{}", key.namespace, key.name));
            self.secrets.insert(name.clone(), Arc::new(pair));
            name
        });
        self.pairs.insert(key.clone(), result.clone());
        result
    }

    /// The CA certificates in a ConfigMap or Secret (`ca.crt`) or a ClusterTrustBundle, checked.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn trust_anchors(
        &mut self,
        reference: &Granted<ObjectKey>,
    ) -> Result<TrustAnchors, CertificateError> {
        let key = reference.get();
        if let Some(known) = self.anchors.get(key) {
            return known.clone();
        }
        let result = self.read_anchors(reference);
        self.anchors.insert(key.clone(), result.clone());
        result
    }

    /// Revocation lists beside a key pair (`ca-crl.pem`), if the Secret has any.
    pub(crate) fn revocation_lists(&self, reference: &Granted<ObjectKey>) -> Option<Arc<str>> {
        let secret = self.index.follow::<Secret>(reference)?;
        secret_text(secret, reference.get(), CRL).ok().map(Into::into)
    }

    /// A key pair by the name that [`Certificates::key_pair`] gave.
    pub fn secret(&self, name: &SecretName) -> Option<&Arc<KeyPair>> {
        self.secrets.get(name)
    }

    fn read_key_pair(&self, reference: &Granted<ObjectKey>) -> Result<KeyPair, CertificateError> {
        let key = reference.get();
        if !is::<Secret>(key) {
            return Err(CertificateError::Kind(key.clone().into(), "a Secret of type kubernetes.io/tls"));
        }
        let secret =
            self.index.follow(reference).ok_or_else(|| CertificateError::Missing(key.clone().into()))?;
        let chain = secret_text(secret, key, "tls.crt")?;
        let private = secret_text(secret, key, "tls.key")?;
        identity::validate_key_pair(&chain, &private).map_err(|source| CertificateError::Malformed {
            object: key.clone().into(),
            what: "certificate and key",
            source,
        })?;
        Ok(KeyPair { certificate_chain: chain.into(), private_key: model::Secret::new(private.into()) })
    }

    fn read_anchors(&self, reference: &Granted<ObjectKey>) -> Result<TrustAnchors, CertificateError> {
        let key = reference.get();
        let missing = || CertificateError::Missing(key.clone().into());
        let pem = if is::<ConfigMap>(key) {
            config_map_text(self.index.follow(reference).ok_or_else(missing)?, key)?
        } else if is::<Secret>(key) {
            secret_text(self.index.follow(reference).ok_or_else(missing)?, key, CA)?
        } else if is::<ClusterTrustBundle>(key) {
            let bundle: &ClusterTrustBundle = self.index.follow(reference).ok_or_else(missing)?;
            bundle.spec.trust_bundle.clone()
        } else {
            let kinds = "a ConfigMap, Secret or ClusterTrustBundle";
            return Err(CertificateError::Kind(key.clone().into(), kinds));
        };
        identity::validate_roots(&pem).map_err(|source| CertificateError::Malformed {
            object: key.clone().into(),
            what: "CA certificates",
            source,
        })?;
        Ok(TrustAnchors(pem.into()))
    }
}

fn is<T: Object>(key: &ObjectKey) -> bool {
    key.group == T::GROUP && key.kind == T::KIND
}

/// A text of a Secret. In a folder of YAML it may stand in `stringData`, which the API server would move.
fn secret_text(secret: &Secret, object: &ObjectKey, key: &'static str) -> Result<String, CertificateError> {
    let written = secret.string_data.as_ref().and_then(|data| data.get(key)).cloned();
    let stored =
        || secret.data.as_ref()?.get(key).map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
    let text = written.or_else(stored).filter(|text| !text.is_empty());
    text.ok_or_else(|| CertificateError::NoKey { object: object.clone().into(), key })
}

fn config_map_text(map: &ConfigMap, object: &ObjectKey) -> Result<String, CertificateError> {
    let text = map.data.as_ref().and_then(|data| data.get(CA)).filter(|text| !text.is_empty());
    text.cloned().ok_or_else(|| CertificateError::NoKey { object: object.clone().into(), key: CA })
}

const CA: &str = "ca.crt";
const CRL: &str = "ca-crl.pem";
