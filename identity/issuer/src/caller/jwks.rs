//! Service-account tokens that are verified with the keys that their issuer publishes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::subject::Subject;
use crate::ca::line::unix;
use crate::http_client;
use crate::refusal::Refusal;
use crate::settings::{JwksSource, JwtCallers};

/// Verifies tokens of one issuer.
#[derive(Debug)]
pub(super) struct Jwks {
    settings: JwtCallers,
    keys: Keys,
    held: Mutex<Held>,
}

type Keys = ArcSwapOption<JwkSet>;

#[derive(Debug, Default)]
struct Held {
    /// What a file held when the keys were read from it.
    text: String,
    asked: Option<Instant>,
}

/// The claims that matter.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    #[serde(rename = "kubernetes.io", default)]
    kubernetes: Option<Kubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    pod: Option<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    name: String,
    uid: String,
}

impl Jwks {
    pub(super) fn new(settings: JwtCallers) -> Self {
        Self { settings, keys: Keys::default(), held: Mutex::default() }
    }

    /// Whether a token claims our issuer. Nothing is verified.
    pub(super) fn is_of(&self, token: &str) -> bool {
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims = payload.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        claims.is_some_and(|claims| claims.get("iss").and_then(Value::as_str) == Some(&self.settings.issuer))
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`Refusal`] says for the log what is wrong; the token itself is in no text.
    pub(super) async fn verify(&self, token: &str, now: SystemTime) -> Result<Subject, Refusal> {
        let refuse = |reason, detail: &str| Refusal::unauthenticated(reason, detail);
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| refuse("bad-token", "its header is broken, or its algorithm is not known"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refuse("bad-algorithm", &format!("algorithm {:?} is not accepted", header.alg)));
        }
        if header_names(token).iter().any(|name| name == "crit") {
            return Err(refuse("bad-token", "it has critical headers"));
        }
        let keys = self.keys(header.kid.as_deref()).await?;
        let claims = verified(token, header.alg, header.kid.as_deref(), &keys)?;
        self.check(claims, unix(now))
    }

    fn check(&self, claims: Claims, now: u64) -> Result<Subject, Refusal> {
        let refuse = |reason, detail: &str| Refusal::unauthenticated(reason, detail);
        if claims.iss.as_deref() != Some(&self.settings.issuer) {
            return Err(refuse("foreign-issuer", "it is of another issuer"));
        }
        let audiences = match claims.aud {
            Some(Audience::One(one)) => vec![one],
            Some(Audience::Many(many)) => many,
            None => Vec::new(),
        };
        if !audiences.iter().any(|audience| self.settings.audiences.contains(audience)) {
            return Err(refuse("other-audience", "it is for another audience"));
        }
        let time = |name: &'static str, value: Option<Value>| match value {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| refuse("bad-token", &format!("its {name} is no whole number"))),
        };
        match time("exp", claims.exp)? {
            Some(exp) if now < exp => {}
            Some(_) => return Err(refuse("expired-token", "it has expired")),
            None => return Err(refuse("bad-token", "it never expires")),
        }
        for begins in [time("nbf", claims.nbf)?, time("iat", claims.iat)?].into_iter().flatten() {
            if begins > now + SKEW {
                return Err(refuse("future-token", "it is not valid yet"));
            }
        }
        let pod = claims.kubernetes.and_then(|bound| bound.pod).map(|pod| (pod.name, pod.uid));
        if self.settings.pod_bound && pod.is_none() {
            return Err(refuse("not-pod-bound", "it is not bound to a pod"));
        }
        Subject::parse(claims.sub.as_deref().unwrap_or_default(), pod)
    }

    /// The keys: from the file as it is now, or fetched some time ago. A fetch that fails leaves the old ones.
    async fn keys(&self, kid: Option<&str>) -> Result<Arc<JwkSet>, Refusal> {
        match &self.settings.jwks {
            JwksSource::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                self.held.lock().await.read_file(text.map_err(|error| error.to_string()), &self.keys);
            }
            JwksSource::Url(url) => {
                let known = self.keys.load();
                let known = known.as_ref().is_some_and(|keys| kid.is_none_or(|kid| keys.find(kid).is_some()));
                if known {
                    // One caller fetches what is old; the others go on with it meanwhile.
                    if let Ok(mut held) = self.held.try_lock() {
                        held.fetch(url, &self.settings, AGAIN, &self.keys).await;
                    }
                } else {
                    // Tokens with made-up key IDs must not turn into requests to the server.
                    let mut held = self.held.lock().await;
                    held.fetch(url, &self.settings, AGAIN_IF_UNKNOWN, &self.keys).await;
                }
            }
        }
        self.keys.load_full().ok_or_else(|| Refusal::VerifierAway("there are no keys yet".to_owned()))
    }
}

impl Held {
    async fn fetch(&mut self, url: &str, settings: &JwtCallers, after: Duration, keys: &Keys) {
        if self.asked.is_some_and(|asked| asked.elapsed() < after) {
            return;
        }
        self.asked = Some(Instant::now());
        let fetched = http_client::get(url, settings.ca.as_deref()).await;
        take(keys, fetched.map_err(|error| error.to_string()).and_then(|body| parse(&body)));
    }

    fn read_file(&mut self, text: Result<String, String>, keys: &Keys) {
        match text {
            Ok(text) if text == self.text => {}
            Ok(text) => {
                take(keys, parse(text.as_bytes()));
                self.text = text;
            }
            Err(error) => take(keys, Err(error)),
        }
    }
}

fn take(keys: &Keys, found: Result<JwkSet, String>) {
    match found {
        Ok(found) => keys.store(Some(Arc::new(found))),
        Err(error) => warn!(%error, "JWKS cannot be read; the keys in use go on"),
    }
}

fn parse(json: &[u8]) -> Result<JwkSet, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let Some(entries) = value.get("keys").and_then(Value::as_array) else {
        return Err("there is no member \"keys\"".to_owned());
    };
    // One key of a kind that is not known must not hide the others.
    let keys = entries.iter().take(MAX_KEYS).filter_map(|entry| serde_json::from_value(entry.clone()).ok());
    Ok(JwkSet { keys: keys.collect() })
}

/// Verifies the signature, and nothing else.
fn verified(token: &str, algorithm: Algorithm, kid: Option<&str>, keys: &JwkSet) -> Result<Claims, Refusal> {
    let mut validation = Validation::new(algorithm);
    // The library reads the system's clock; we read ours.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let mut tried = 0_u32;
    for key in &keys.keys {
        let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
        let fits = key.common.key_algorithm.is_none_or(|declared| is(declared, algorithm));
        let Ok(decoding) = DecodingKey::from_jwk(key) else { continue };
        if !named
            || !fits
            || decoding.family() != algorithm.family()
            || algorithm.family() == AlgorithmFamily::Hmac
        {
            continue;
        }
        tried += 1;
        if let Ok(data) = jsonwebtoken::decode::<Claims>(token, &decoding, &validation) {
            return Ok(data.claims);
        }
    }
    Err(match tried {
        0 => Refusal::unauthenticated("unknown-key", "no published key is the one that it names"),
        _ => Refusal::unauthenticated("bad-signature", "its signature or its claims are wrong"),
    })
}

fn is(declared: KeyAlgorithm, algorithm: Algorithm) -> bool {
    format!("{declared:?}") == format!("{algorithm:?}")
}

/// The names of a token's headers.
fn header_names(token: &str) -> Vec<String> {
    let json = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    serde_json::from_slice::<HashMap<String, Value>>(&json)
        .map(|map| map.into_keys().collect())
        .unwrap_or_default()
}

/// Asymmetric, and nothing else: a public key must never be taken for a shared secret.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];
/// Seconds that another's clock may be ahead.
const SKEW: u64 = 10;
/// Between two fetches.
const AGAIN: Duration = Duration::from_secs(300);
/// Between two fetches if a token names a key that is not known.
const AGAIN_IF_UNKNOWN: Duration = Duration::from_secs(30);
/// Keys of a set that are read.
const MAX_KEYS: usize = 64;
