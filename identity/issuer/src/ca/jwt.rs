//! Keys that sign JWT-SVIDs: ES256, each with a key ID, in a line of their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::key::{KeyError, MemoryKey};
use super::line::{Phase, Slot, seconds, unix};
use super::signer;

/// A signing key of JWT-SVIDs.
#[derive(Clone, Debug)]
pub(crate) struct JwtSigner {
    pub(crate) kid: Arc<str>,
    pub(crate) key: Arc<MemoryKey>,
}

/// What we put into a JWT-SVID.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a [String],
    pub(crate) exp: u64,
    pub(crate) iat: u64,
}

impl JwtSigner {
    /// Signs claims. Headers are `alg`, `kid` and `typ` alone (JWT-SVID §2).
    ///
    /// # Errors
    /// The cryptography library refuses the key.
    pub(crate) fn sign(&self, claims: &Claims<'_>) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_string());
        let key = EncodingKey::from_ec_der(&self.key.to_der());
        jsonwebtoken::encode(&header, claims, &key).map_err(|error| KeyError::Sign(error.to_string()))
    }
}

/// Makes a key that is used for `ttl` from now.
///
/// # Errors
/// The system has no randomness, say.
pub(crate) fn make(now: SystemTime, ttl: Duration) -> Result<Slot<JwtSigner>, KeyError> {
    let kid = signer::hex(&signer::random::<16>()?).into();
    Ok(Slot {
        item: JwtSigner { kid, key: Arc::new(MemoryKey::generate()?) },
        phase: Phase::Prepared,
        not_before: seconds(unix(now)),
        not_after: seconds(unix(now)) + ttl,
        hurry: false,
        sequence: 0,
        retire_at: None,
    })
}
