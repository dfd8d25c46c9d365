//! JWT-SVIDs: J01 to J12 of the negative table.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use super::{JwtError, JwtSvid, verify_jwt_svid};
use crate::bundle::{JwtKey, TrustBundle, TrustBundles};
use crate::id::IdError;
use crate::testing::TestCa;

const ID: &str = "spiffe://td.example/ns/shop/sa/cart";
const NOW: u64 = 1_780_000_000;

struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    bundles: TrustBundles,
}

/// A key of `td.example` with the name `k1`.
fn signer() -> Signer {
    let key = KeyPair::generate().unwrap();
    let jwt = vec![JwtKey::from_spki("k1", &key.subject_public_key_info()).unwrap()];
    let ca = TestCa::new("td.example");
    let bundles = TrustBundles::of(ca.trust_domain().clone(), TrustBundle { jwt, ..ca.bundle() });
    Signer { key: EncodingKey::from_ec_der(&key.serialize_der()), algorithm: Algorithm::ES256, bundles }
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "k1", "typ": "JWT"})
}

fn claims() -> Value {
    json!({"sub": ID, "aud": ["gateway"], "exp": NOW + 300, "iat": NOW})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

impl Signer {
    fn sign(&self, header: &Value, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    fn verify(&self, token: &str) -> Result<JwtSvid, JwtError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        verify_jwt_svid(token, "gateway", &self.bundles, now)
    }

    fn of(&self, header: &Value, claims: &Value) -> Result<JwtSvid, JwtError> {
        self.verify(&self.sign(header, &claims.to_string()))
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn headed(header: &Value) -> JwtError {
    signer().of(header, &claims()).unwrap_err()
}

fn claimed(claims: &Value) -> JwtError {
    signer().of(&header(), claims).unwrap_err()
}

#[test]
fn a_good_token_is_taken() {
    let signer = signer();
    let svid = signer.of(&header(), &claims()).unwrap();
    assert_eq!((svid.id.as_str(), &*svid.audience), (ID, &["gateway".to_owned()][..]));
    assert_eq!(svid.expires, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 300));
    assert_eq!(svid.claims["iat"], NOW);
    // The type may be missing, the audience a single one.
    for header in [without(header(), "typ"), with(header(), "typ", "JOSE".into())] {
        assert!(signer.of(&header, &with(claims(), "aud", "gateway".into())).is_ok());
    }
}

#[test]
fn an_rsa_key_is_taken() {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let jwt = vec![JwtKey::from_spki("k1", &key.subject_public_key_info()).unwrap()];
    // PKCS#1 stands in PKCS#8 behind 26 bytes.
    let encoding = EncodingKey::from_rsa_der(&key.serialize_der()[26..]);
    let ca = TestCa::new("td.example");
    let bundles = TrustBundles::of(ca.trust_domain().clone(), TrustBundle { jwt, ..ca.bundle() });
    for (algorithm, name) in [(Algorithm::RS256, "RS256"), (Algorithm::PS384, "PS384")] {
        let signer = Signer { key: encoding.clone(), algorithm, bundles: bundles.clone() };
        assert!(signer.of(&with(header(), "alg", name.into()), &claims()).is_ok(), "{name}");
        // By its word, an RSA key cannot have signed by ES256.
        assert_eq!(signer.of(&header(), &claims()), Err(JwtError::WrongKey));
    }
}

#[test]
fn j01_other_algorithms_are_refused() {
    for name in ["none", "None", "HS256", "EdDSA", "ES512", "ES256K", ""] {
        let error = headed(&with(header(), "alg", name.into()));
        assert_eq!(error, JwtError::Algorithm(name.to_owned()));
    }
    assert_eq!(headed(&without(header(), "alg")), JwtError::Algorithm(String::new()));
    // Unsigned, as `none` would have it.
    let token = format!("{}.{}.", encode(header().to_string()), encode(claims().to_string()));
    assert_eq!(signer().verify(&token), Err(JwtError::NotCompact));
}

#[test]
fn j02_other_headers_are_refused() {
    for name in ["jku", "x5u", "x5c", "jwk", "crit", "cty", "b64"] {
        assert_eq!(headed(&with(header(), name, "x".into())), JwtError::ExtraHeader(name.to_owned()));
    }
}

#[test]
fn j03_other_types_are_refused() {
    for kind in [json!("at+jwt"), json!("jwt"), json!(""), json!(7)] {
        assert!(matches!(headed(&with(header(), "typ", kind)), JwtError::Type(_)));
    }
}

#[test]
fn j04_the_audience_must_be_us() {
    for audience in [json!([]), json!(""), json!([""]), json!(["gateway", 7]), json!({}), json!(null)] {
        assert_eq!(claimed(&with(claims(), "aud", audience)), JwtError::NoAudience);
    }
    assert_eq!(claimed(&without(claims(), "aud")), JwtError::NoAudience);
    for audience in [json!(["other"]), json!("Gateway"), json!(["gateway2"])] {
        assert_eq!(claimed(&with(claims(), "aud", audience)), JwtError::OtherAudience);
    }
}

#[test]
fn j05_the_end_must_be_a_time_to_come() {
    assert_eq!(claimed(&without(claims(), "exp")), JwtError::BadTime("exp"));
    for end in [json!(-1), json!("never"), json!(1e30), json!(null), json!([NOW])] {
        assert_eq!(claimed(&with(claims(), "exp", end.clone())), JwtError::BadTime("exp"), "{end}");
    }
    for end in [json!(NOW), json!(NOW - 1), json!(0), json!(NOW as f64 - 0.5)] {
        assert_eq!(claimed(&with(claims(), "exp", end.clone())), JwtError::Expired, "{end}");
    }
    let signer = signer();
    assert!(signer.of(&header(), &with(claims(), "exp", json!(NOW as f64 + 0.5))).is_ok());
    // Floats that are no numbers, and an end that is said twice.
    for text in [
        format!("{{\"sub\":\"{ID}\",\"aud\":\"gateway\",\"exp\":1e999}}"),
        format!("{{\"sub\":\"{ID}\",\"aud\":\"gateway\",\"exp\":1,\"exp\":{}}}", NOW + 300),
    ] {
        assert_eq!(signer.verify(&signer.sign(&header(), &text)), Err(JwtError::NotJson("payload")));
    }
}

#[test]
fn j06_it_must_have_begun() {
    assert_eq!(claimed(&with(claims(), "nbf", json!(NOW + 1))), JwtError::NotYetValid);
    assert_eq!(claimed(&with(claims(), "nbf", json!("x"))), JwtError::BadTime("nbf"));
    assert!(signer().of(&header(), &with(claims(), "nbf", json!(NOW))).is_ok());
}

#[test]
fn j07_the_subject_must_be_a_workload() {
    assert_eq!(claimed(&without(claims(), "sub")), JwtError::NoSubject);
    for (subject, error) in
        [("spiffe://td.example", IdError::NoPath), ("spiffe://TD.example/a", IdError::NotCanonical)]
    {
        assert_eq!(claimed(&with(claims(), "sub", subject.into())), JwtError::Subject(error));
    }
    for subject in ["cart", "https://td.example/a", "spiffe://td.example/a/"] {
        assert!(matches!(claimed(&with(claims(), "sub", subject.into())), JwtError::Subject(_)));
    }
}

#[test]
fn j08_the_key_must_be_known() {
    let unknown = headed(&with(header(), "kid", "k2".into()));
    assert!(matches!(unknown, JwtError::UnknownKey(_)), "{unknown}");
    assert_eq!(headed(&without(header(), "kid")), JwtError::NoKeyId);
    assert_eq!(headed(&with(header(), "kid", json!(["k1"]))), JwtError::NoKeyId);
    // The name is known, the signature is another's.
    let (one, other) = (signer(), signer());
    let token = one.sign(&header(), &claims().to_string());
    assert_eq!(other.verify(&token), Err(JwtError::BadSignature));
}

/// A key that the bundle has for certificates is none for tokens.
#[test]
fn j09_a_key_for_certificates_does_not_sign_tokens() {
    let key = KeyPair::generate().unwrap();
    let mut entry = JwtKey::from_spki("k1", &key.subject_public_key_info()).unwrap().to_jwk();
    entry["use"] = "x509-svid".into();
    let document = json!({"keys": [entry]}).to_string();
    let bundle = TrustBundle::from_document(document.as_bytes()).unwrap();
    let ca = TestCa::new("td.example");
    let signer = Signer {
        key: EncodingKey::from_ec_der(&key.serialize_der()),
        algorithm: Algorithm::ES256,
        bundles: TrustBundles::of(ca.trust_domain().clone(), bundle),
    };
    assert!(matches!(signer.of(&header(), &claims()), Err(JwtError::UnknownKey(_))));
}

#[test]
fn j10_the_trust_domain_must_have_a_bundle() {
    let error = claimed(&with(claims(), "sub", "spiffe://evil.example/a".into()));
    assert!(matches!(error, JwtError::NoBundle(_)), "{error}");
}

#[test]
fn j11_only_the_compact_form_is_read() {
    let signer = signer();
    let token = signer.sign(&header(), &claims().to_string());
    let mut parts = token.split('.');
    let (protected, payload, signature) = (parts.next(), parts.next(), parts.next());
    let json = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
    for token in
        [json.as_str(), "", "a", "a.b", &format!("{token}.x"), &format!(" {token}"), &format!("{token}=")]
    {
        assert!(signer.verify(token).is_err(), "{token}");
    }
    let mut changed = token.clone().into_bytes();
    let last = changed.len() - 10;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(signer.verify(&String::from_utf8(changed).unwrap()), Err(JwtError::BadSignature));
    assert_eq!(signer.verify(&"a".repeat(20_000)), Err(JwtError::TooLarge(20_000)));
}

/// RFC 7518 §6.2.1.2: a coordinate has exactly as many bytes as the curve's.
#[test]
fn j12_coordinates_of_another_width_are_no_key() {
    let jwk =
        JwtKey::from_spki("k1", &KeyPair::generate().unwrap().subject_public_key_info()).unwrap().to_jwk();
    let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    for other in [&x[1..], &[&[0], &x[..]].concat()] {
        let error = JwtKey::from_jwk(&with(jwk.clone(), "x", encode(other).into())).unwrap_err();
        assert!(error.to_string().starts_with("a coordinate of P-256"), "{error}");
    }
    assert!(JwtKey::from_jwk(&jwk).is_ok());
}

/// The error goes to logs: nothing of the token may stand in it that lets another use it.
#[test]
fn errors_do_not_show_the_token() {
    let signer = signer();
    let token = signer.sign(&header(), &with(claims(), "aud", "other".into()).to_string());
    let error = signer.verify(&token).unwrap_err();
    let signature = token.rsplit('.').next().unwrap();
    assert!(!format!("{error} {error:?}").contains(signature));
}

proptest! {
    #[test]
    fn no_token_makes_the_reader_panic(token in "[A-Za-z0-9_.-]{0,120}", text in "\\PC{0,60}") {
        let signer = Signer {
            key: EncodingKey::from_secret(b"x"),
            algorithm: Algorithm::HS256,
            bundles: TrustBundles::default(),
        };
        prop_assert!(signer.verify(&token).is_err());
        let odd = format!("{}.{}.AAAA", encode(&text), encode(&text));
        prop_assert!(signer.verify(&odd).is_err());
    }
}
