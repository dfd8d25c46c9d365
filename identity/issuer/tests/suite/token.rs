//! Service-account tokens, good and bad.

use std::time::SystemTime;

use identity::JwtKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
pub(crate) const AUDIENCE: &str = "istio-ca";

/// A key that signs tokens.
#[derive(Debug)]
pub(crate) struct TokenKey {
    pub(crate) kid: String,
    pair: KeyPair,
}

impl TokenKey {
    pub(crate) fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: KeyPair::generate().unwrap() }
    }

    /// As its issuer publishes it.
    pub(crate) fn jwks(&self) -> String {
        let jwk = JwtKey::from_spki(&self.kid, &self.pair.subject_public_key_info()).unwrap().to_jwk();
        // A key of another kind beside it must not hide it.
        json!({"keys": [{"kty": "OKP", "crv": "X", "kid": "odd"}, jwk]}).to_string()
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.der_bytes().to_vec()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.clone());
        self.sign_with(&header, claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }
}

/// The claims of a pod of `namespace`/`account`.
pub(crate) fn claims(namespace: &str, account: &str, now: SystemTime) -> Value {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": ISSUER,
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "aud": [AUDIENCE],
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "kubernetes.io": {"namespace": namespace, "pod": {"name": "cart-1", "uid": "1-2-3"}},
    })
}

/// The claims with one changed, or (null) without it.
pub(crate) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    claims
}
