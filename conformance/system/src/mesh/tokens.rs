//! Service-account tokens as Kubernetes makes them, and the keys that verify them, over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize, SigningKey as _};
use serde_json::{Value, json};

use super::http::{Answer, Server};

/// Signs tokens; serves its public key for as long as it lives.
#[derive(Debug)]
pub struct Tokens {
    key: KeyPair,
    address: SocketAddr,
    _server: Server,
}

/// What a token says. The default is a good one for istiod.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Namespace and service account.
    pub account: (&'static str, &'static str),
    /// For whom it is.
    pub audience: &'static str,
    /// How long it is good; zero: it has expired an hour ago.
    pub life: Duration,
    /// Who is said to have issued it.
    pub issuer: &'static str,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            account: ("default", "edge-diolkos"),
            audience: "istio-ca",
            life: Duration::from_secs(3600),
            issuer: ISSUER,
        }
    }
}

impl Tokens {
    /// Makes a key and serves it. RSA, since istiod takes nothing else from a JWKS without discovery.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).context("an RSA key")?;
        let keys = jwks(&key)?.to_string();
        let server = Server::start(address, move |_| Answer::Json(200, keys.clone())).await?;
        Ok(Self { key, address, _server: server })
    }

    /// Where the keys are.
    pub fn url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }

    /// The keys themselves.
    pub fn document(&self) -> Result<String> {
        jwks(&self.key).map(|keys| keys.to_string())
    }

    /// A signed token.
    pub fn token(&self, claims: &Claims) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let (issued, expires) =
            if claims.life.is_zero() { (now - 7200, now - 3600) } else { (now, now + claims.life.as_secs()) };
        let (namespace, account) = claims.account;
        let head = json!({"alg": "RS256", "kid": KEY, "typ": "JWT"});
        let body = json!({
            "iss": claims.issuer,
            // istiod reads a list and nothing else.
            "aud": [claims.audience],
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "iat": issued, "nbf": issued, "exp": expires,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": "11111111-2222-3333-4444-555555555555"},
                "pod": {"name": "edge-0", "uid": "66666666-7777-8888-9999-000000000000"},
            },
        });
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(body.to_string()));
        let signature = self.key.sign(text.as_bytes()).context("sign a token")?;
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }
}

fn jwks(key: &KeyPair) -> Result<Value> {
    // RSAPublicKey of 2048 bits: a head of 9 bytes, the modulus, then the exponent 65537.
    let modulus = key.der_bytes().get(9..265).context("an RSA key of 2048 bits")?;
    Ok(json!({"keys": [{
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY, "n": BASE64.encode(modulus), "e": "AQAB",
    }]}))
}

/// Who issues the tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const KEY: &str = "test-key";
