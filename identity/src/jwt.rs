//! JWT-SVIDs: a compact JWS, verified by the keys of its subject's own trust domain (JWT-SVID §3, §5).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::bundle::TrustBundles;
use crate::id::{IdError, WorkloadId};
use crate::json;

/// A verified JWT-SVID.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtSvid {
    /// Who sent it.
    pub id: WorkloadId,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// From when it is no longer valid.
    pub expires: SystemTime,
    /// All claims.
    pub claims: Map<String, Value>,
}

/// Why a token is refused. The token itself is in no text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JwtError {
    /// More bytes than are read.
    #[error("the token has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// J11: not three parts in base64url; the JSON serialization among others.
    #[error("the token is no compact JWS")]
    NotCompact,
    /// A header or a payload that is no JSON object, or one that says something twice.
    #[error("the token's {0} is no JSON object")]
    NotJson(&'static str),
    /// J02: a header member that a JWT-SVID must not have.
    #[error("the token's header has the member {0:?}")]
    ExtraHeader(String),
    /// J01: an algorithm that a JWT-SVID must not have (`none`, HS*, EdDSA), or one that is not verified here (ES512).
    #[error("the token's algorithm {0:?} is not taken")]
    Algorithm(String),
    /// J03: a type that is neither `JWT` nor `JOSE`.
    #[error("the token's type {0:?} is neither JWT nor JOSE")]
    Type(String),
    /// No key identifier.
    #[error("the token names no key")]
    NoKeyId,
    /// J07: not the SPIFFE ID of a workload.
    #[error("the token's subject names no workload: {0}")]
    Subject(IdError),
    /// No subject.
    #[error("the token has no subject")]
    NoSubject,
    /// J10: nobody vouches for the subject's trust domain.
    #[error("there is no bundle for the trust domain of {0}")]
    NoBundle(WorkloadId),
    /// J08, J09: the subject's trust domain has no such JWT key.
    #[error("the trust domain of {0} has no JWT key of the name that the token gives")]
    UnknownKey(WorkloadId),
    /// The key is of another kind than the algorithm.
    #[error("the token's algorithm does not fit its key")]
    WrongKey,
    /// It was not signed by that key.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// J04: for nobody.
    #[error("the token has no audience")]
    NoAudience,
    /// J04: for somebody else.
    #[error("the token is for another audience")]
    OtherAudience,
    /// J05: no end, or one that is no time.
    #[error("the token's {0} is missing or no time")]
    BadTime(&'static str),
    /// J05: it has ended.
    #[error("the token has expired")]
    Expired,
    /// J06: it has not begun.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Verifies a token for `audience`, which names us. Clocks are taken to agree: no leeway.
///
/// # Errors
/// [`JwtError`] names the broken rule.
pub fn verify_jwt_svid(
    token: &str,
    audience: &str,
    bundles: &TrustBundles,
    now: SystemTime,
) -> Result<JwtSvid, JwtError> {
    if token.len() > MAX_BYTES {
        return Err(JwtError::TooLarge(token.len()));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::NotCompact)?;
    let (header, payload) = signed.split_once('.').ok_or(JwtError::NotCompact)?;
    if payload.contains('.') || signature.is_empty() {
        return Err(JwtError::NotCompact);
    }
    let (algorithm, key_id) = read_header(&object("header", header)?)?;
    let claims = object("payload", payload)?;

    let subject = claims.get("sub").and_then(Value::as_str).ok_or(JwtError::NoSubject)?;
    let id = WorkloadId::parse_spiffe(subject).map_err(JwtError::Subject)?;
    let bundle = id.trust_domain().and_then(|trust_domain| bundles.0.get(trust_domain));
    let bundle = bundle.ok_or_else(|| JwtError::NoBundle(id.clone()))?;
    let key = bundle.jwt_key(&key_id).ok_or_else(|| JwtError::UnknownKey(id.clone()))?;
    if !key.signs(algorithm) {
        return Err(JwtError::WrongKey);
    }
    let verified = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key.decoding(), algorithm);
    if !verified.is_ok_and(|verified| verified) {
        return Err(JwtError::BadSignature);
    }

    let found = audiences(&claims)?;
    if !found.iter().any(|found| found == audience) {
        return Err(JwtError::OtherAudience);
    }
    let expires = time(&claims, "exp")?.ok_or(JwtError::BadTime("exp"))?;
    if now >= expires {
        return Err(JwtError::Expired);
    }
    if time(&claims, "nbf")?.is_some_and(|not_before| now < not_before) {
        return Err(JwtError::NotYetValid);
    }
    Ok(JwtSvid { id, audience: found, expires, claims })
}

fn object(what: &'static str, base64: &str) -> Result<Map<String, Value>, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(base64).map_err(|_| JwtError::NotCompact)?;
    json::object(&bytes).map_err(|_| JwtError::NotJson(what))
}

/// JWT-SVID §2: `alg`, `kid` and `typ`, and nothing else. Whatever else a header says (`jku`, `x5u`, `crit`) would be
/// advice of an unknown on how to believe them.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, String), JwtError> {
    if let Some(name) = header.keys().find(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
        return Err(JwtError::ExtraHeader(readable(name)));
    }
    let algorithm = match header.get("alg").and_then(Value::as_str).unwrap_or_default() {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        other => return Err(JwtError::Algorithm(readable(other))),
    };
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind == "JWT" || kind == "JOSE" => {}
        Some(other) => return Err(JwtError::Type(readable(&other.to_string()))),
    }
    let key_id = header.get("kid").and_then(Value::as_str).filter(|id| !id.is_empty());
    Ok((algorithm, key_id.ok_or(JwtError::NoKeyId)?.to_owned()))
}

/// One audience or several, each a text that is not empty.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, JwtError> {
    let found: Option<Vec<String>> = match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(several)) => {
            several.iter().map(|one| one.as_str().map(ToOwned::to_owned)).collect()
        }
        _ => None,
    };
    found
        .filter(|found| !found.is_empty() && found.iter().all(|one| !one.is_empty()))
        .ok_or(JwtError::NoAudience)
}

/// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction. Negative ones and those beyond the year 9999 are none.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, JwtError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since.map(|since| Some(SystemTime::UNIX_EPOCH + since)).ok_or(JwtError::BadTime(name))
}

fn readable(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Longest token that is read: it comes in a header.
const MAX_BYTES: usize = 16 * 1024;
/// The end of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests;
