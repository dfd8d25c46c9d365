//! A public key that signs JWT-SVIDs.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

/// A public key with its identifier, as a JWK of `kty` EC (P-256, P-384) or RSA (2048 to 4096 bits).
#[derive(Clone)]
pub struct JwtKey {
    id: Arc<str>,
    kind: Kind,
    /// Prebuilt for verification.
    decoding: Arc<DecodingKey>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// Bytes of a coordinate; RFC 7518 §6.2.1.2 wants exactly so many.
    fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// Why a key cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JwtKeyError {
    /// Of a kind that is not ours to know: leave it out.
    #[error("its kind {0:?} is not known")]
    UnknownKind(String),
    /// Broken.
    #[error("{0}")]
    Broken(String),
}

impl JwtKey {
    /// Takes a public key as DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`JwtKeyError`].
    pub fn from_spki(id: &str, spki: &[u8]) -> Result<Self, JwtKeyError> {
        let (_, key) = SubjectPublicKeyInfo::from_der(spki).map_err(broken)?;
        let kind = match key.parsed().map_err(broken)? {
            PublicKey::EC(point) => {
                let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
                let curve = match curve {
                    Some(curve) if curve == OID_EC_P256 => Curve::P256,
                    Some(curve) if curve == OID_NIST_EC_P384 => Curve::P384,
                    _ => return Err(JwtKeyError::UnknownKind("EC of another curve".to_owned())),
                };
                let coordinates = point.data().strip_prefix(&[4]);
                let split = coordinates.and_then(|both| both.split_at_checked(curve.width()));
                let (x, y) = split.ok_or_else(|| broken("the point is not uncompressed"))?;
                Kind::Ec { curve, x: x.to_vec(), y: y.to_vec() }
            }
            PublicKey::RSA(rsa) => {
                let significant =
                    |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
                Kind::Rsa { modulus: significant(rsa.modulus), exponent: significant(rsa.exponent) }
            }
            _ => return Err(JwtKeyError::UnknownKind(key.algorithm.algorithm.to_string())),
        };
        Self::new(id, kind)
    }

    /// Takes a JWK with a `kid`.
    ///
    /// # Errors
    /// [`JwtKeyError`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwtKeyError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let text = text(name).ok_or_else(|| broken(format!("it has no member {name:?}")))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|error| broken(format!("{name:?}: {error}")))
        };
        let id = text("kid").filter(|id| !id.is_empty()).ok_or_else(|| broken("it has no \"kid\""))?;
        let kind = match text("kty") {
            Some("EC") => {
                let curve = match text("crv") {
                    Some("P-256") => Curve::P256,
                    Some("P-384") => Curve::P384,
                    other => return Err(JwtKeyError::UnknownKind(format!("EC {}", other.unwrap_or("?")))),
                };
                Kind::Ec { curve, x: bytes("x")?, y: bytes("y")? }
            }
            Some("RSA") => Kind::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
            other => return Err(JwtKeyError::UnknownKind(other.unwrap_or_default().to_owned())),
        };
        Self::new(id, kind)
    }

    fn new(id: &str, kind: Kind) -> Result<Self, JwtKeyError> {
        let decoding = match &kind {
            Kind::Ec { curve, x, y } => {
                if x.len() != curve.width() || y.len() != curve.width() {
                    return Err(broken(format!(
                        "a coordinate of {} has {} bytes",
                        curve.name(),
                        curve.width()
                    )));
                }
                DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
                    .map_err(broken)?
            }
            Kind::Rsa { modulus, exponent } => {
                if !(256..=512).contains(&modulus.len()) || exponent.is_empty() || exponent.len() > 4 {
                    return Err(broken("an RSA key has 2048 to 4096 bits and an exponent of at most 32"));
                }
                DecodingKey::from_rsa_raw_components(modulus, exponent)
            }
        };
        Ok(Self { id: id.into(), kind, decoding: Arc::new(decoding) })
    }

    /// Its identifier (`kid`).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As a JWK, with `use: jwt-svid`.
    pub fn to_jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.kind {
            Kind::Ec { curve, x, y } => json!({
                "kty": "EC", "use": "jwt-svid", "kid": &*self.id, "crv": curve.name(),
                "x": encode(x), "y": encode(y),
            }),
            Kind::Rsa { modulus, exponent } => json!({
                "kty": "RSA", "use": "jwt-svid", "kid": &*self.id, "n": encode(modulus), "e": encode(exponent),
            }),
        }
    }

    /// Whether it can have signed by that algorithm.
    pub(crate) fn signs(&self, algorithm: Algorithm) -> bool {
        match &self.kind {
            Kind::Ec { curve: Curve::P256, .. } => algorithm == Algorithm::ES256,
            Kind::Ec { curve: Curve::P384, .. } => algorithm == Algorithm::ES384,
            Kind::Rsa { .. } => matches!(
                algorithm,
                Algorithm::RS256
                    | Algorithm::RS384
                    | Algorithm::RS512
                    | Algorithm::PS256
                    | Algorithm::PS384
                    | Algorithm::PS512
            ),
        }
    }

    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

fn broken(error: impl ToString) -> JwtKeyError {
    JwtKeyError::Broken(error.to_string())
}

impl PartialEq for JwtKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.kind == other.kind
    }
}

impl Eq for JwtKey {}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey").field("id", &self.id).finish_non_exhaustive()
    }
}
