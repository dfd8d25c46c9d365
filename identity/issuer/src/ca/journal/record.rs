//! The state as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::ca::line::Phase;

/// Everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) trust_domain: String,
    /// Of the bundle.
    pub(crate) sequence: u64,
    /// Seconds since 1970: see `Facts::stragglers`.
    pub(crate) stragglers: u64,
    pub(crate) roots: Vec<StoredRoot>,
    pub(crate) jwt: Vec<StoredKey>,
    /// By SHA-256 of the token, in hex.
    pub(crate) tokens: BTreeMap<String, StoredToken>,
}

/// A root.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoredRoot {
    pub(crate) phase: Phase,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) hurry: bool,
    pub(crate) sequence: u64,
    pub(crate) retire_at: Option<u64>,
    /// Base64 of DER.
    pub(crate) certificate: String,
    /// PEM, PKCS#8.
    pub(crate) key: String,
}

/// A key for JWT-SVIDs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoredKey {
    pub(crate) phase: Phase,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) hurry: bool,
    pub(crate) sequence: u64,
    pub(crate) retire_at: Option<u64>,
    pub(crate) kid: String,
    /// PEM, PKCS#8.
    pub(crate) key: String,
}

/// A bootstrap token that was not used yet. The token itself is nowhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoredToken {
    pub(crate) registration: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
}

impl Drop for StoredRoot {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for StoredRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRoot").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("phase", &self.phase)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
