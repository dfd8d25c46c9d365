//! SPIFFE bundle documents: a JWKS with `spiffe_sequence` and `spiffe_refresh_hint`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spiffe::TrustDomain;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::{
    BundleError, JwtKey, JwtKeyError, MAX_REFRESH, MIN_REFRESH, TrustBundle, TrustBundles, check_root,
};
use crate::json;

/// Largest document that is read. A root is about 1 KiB.
const MAX_BYTES: usize = 1024 * 1024;

/// Reads a document.
pub(super) fn read(document: &[u8]) -> Result<TrustBundle, BundleError> {
    if document.len() > MAX_BYTES {
        return Err(BundleError::TooLarge { bytes: document.len(), max: MAX_BYTES });
    }
    let json = json::object(document).map_err(|error| BundleError::Json(error.to_string()))?;
    from_object(&json)
}

/// Reads a set of documents by trust domain: member `trust_domains` (SPIFFE Trust Domain and Bundle §5).
pub(super) fn read_map(document: &[u8]) -> Result<TrustBundles, BundleError> {
    if document.len() > MAX_BYTES {
        return Err(BundleError::TooLarge { bytes: document.len(), max: MAX_BYTES });
    }
    let wrapped: Wrapped =
        serde_json::from_slice(document).map_err(|error| BundleError::Json(error.to_string()))?;
    let mut bundles = TrustBundles::default();
    for (name, bundle) in wrapped.trust_domains.0 {
        let domain = TrustDomain::new(&name).ok().filter(|domain| domain.as_str() == name);
        let domain = domain.ok_or_else(|| BundleError::Json(format!("{name:?} is no trust domain")))?;
        let Value::Object(bundle) = bundle else {
            return Err(BundleError::Json(format!("the bundle of {name:?} is no object")));
        };
        bundles.0.insert(domain, Arc::new(from_object(&bundle)?));
    }
    Ok(bundles)
}

#[derive(Deserialize)]
struct Wrapped {
    trust_domains: json::Unique,
}

fn from_object(json: &Map<String, Value>) -> Result<TrustBundle, BundleError> {
    let keys = match json.get("keys") {
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(BundleError::Json("\"keys\" is no array".to_owned())),
        None => return Err(BundleError::NoKeys),
    };
    let mut bundle = TrustBundle {
        sequence: sequence(json.get("spiffe_sequence"))?,
        refresh_hint: refresh_hint(json.get("spiffe_refresh_hint")),
        ..TrustBundle::default()
    };
    for (index, key) in keys.iter().enumerate() {
        read_key(key, index + 1, &mut bundle)?;
    }
    Ok(bundle)
}

/// Takes one entry. What is of another `use` or `kty`, or lacks what its kind must have, is left out: it may come
/// from a newer standard. What is broken is an error: to leave out a root would be to revoke it by a typing mistake.
fn read_key(key: &Value, position: usize, bundle: &mut TrustBundle) -> Result<(), BundleError> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bad = |detail: String| BundleError::BadEntry { position, detail };
    match text("use") {
        Some("x509-svid") if matches!(text("kty"), Some("EC" | "RSA" | "OKP")) => {
            // One certificate, as DER in base64 (RFC 7517 §4.7). Of several, the first (B03).
            let Some(first) = key.get("x5c").and_then(|x5c| x5c.get(0)).and_then(Value::as_str) else {
                return Ok(());
            };
            let der = STANDARD.decode(first).map_err(|error| bad(format!("\"x5c\": {error}")))?;
            let root = CertificateDer::from(der);
            check_root(&root, position).map_err(|error| match error {
                BundleError::NotCa { .. } => error,
                error => bad(error.to_string()),
            })?;
            bundle.x509.push(root);
        }
        Some("jwt-svid") if text("kid").is_some_and(|id| !id.is_empty()) => match JwtKey::from_jwk(key) {
            Ok(key) => bundle.jwt.push(key),
            Err(JwtKeyError::UnknownKind(_)) => {}
            Err(JwtKeyError::Broken(detail)) => return Err(bad(detail)),
        },
        _ => {}
    }
    Ok(())
}

/// At least 64 bits are to be read; serde_json keeps integers up to 2^64-1 exact (B06).
fn sequence(value: Option<&Value>) -> Result<Option<u64>, BundleError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| BundleError::BadSequence(value.to_string().chars().take(40).collect())),
    }
}

/// Zero, negative or enormous hints are bent into bounds (B07); what is no number is no hint.
fn refresh_hint(value: Option<&Value>) -> Option<Duration> {
    let value = value?;
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        // A fraction of a second is of no use, and could not be written again.
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds.trunc()).unwrap_or(MIN_REFRESH),
        (None, None) => return None,
    };
    Some(seconds.clamp(MIN_REFRESH, MAX_REFRESH))
}

/// Writes a document.
pub(super) fn write(bundle: &TrustBundle) -> String {
    let roots = bundle.x509.iter().map(root_jwk);
    let keys: Vec<Value> = roots.chain(bundle.jwt.iter().map(JwtKey::to_jwk)).collect();
    let mut document = Map::new();
    document.insert("keys".to_owned(), Value::Array(keys));
    if let Some(sequence) = bundle.sequence {
        document.insert("spiffe_sequence".to_owned(), sequence.into());
    }
    if let Some(hint) = bundle.refresh_hint {
        document.insert("spiffe_refresh_hint".to_owned(), hint.as_secs().into());
    }
    Value::Object(document).to_string()
}

/// A root as a JWK. The key's own members are mandatory in a JWK (RFC 7518 §6), although readers look at `x5c` alone.
fn root_jwk(root: &CertificateDer<'_>) -> Value {
    let mut jwk = Map::new();
    jwk.insert("use".to_owned(), "x509-svid".into());
    jwk.insert("x5c".to_owned(), json!([STANDARD.encode(root)]));
    let encode = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
    let parsed = X509Certificate::from_der(root).ok();
    let key = parsed.as_ref().and_then(|(_, parsed)| parsed.public_key().parsed().ok());
    match key {
        Some(PublicKey::RSA(rsa)) => {
            let significant =
                |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|byte| *byte == 0).collect() };
            jwk.insert("kty".to_owned(), "RSA".into());
            jwk.insert("n".to_owned(), encode(&significant(rsa.modulus)));
            jwk.insert("e".to_owned(), encode(&significant(rsa.exponent)));
        }
        Some(PublicKey::EC(point)) => {
            jwk.insert("kty".to_owned(), "EC".into());
            let coordinates = point.data().strip_prefix(&[4]).unwrap_or_default();
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            let curve = match x.len() {
                32 => "P-256",
                48 => "P-384",
                _ => "P-521",
            };
            jwk.insert("crv".to_owned(), curve.into());
            jwk.insert("x".to_owned(), encode(x));
            jwk.insert("y".to_owned(), encode(y));
        }
        Some(_) | None => {
            jwk.insert("kty".to_owned(), "OKP".into());
        }
    }
    Value::Object(jwk)
}
