//! SPIFFE bundle documents: B01 to B09 of the negative table, and that what is written is read again. (B10 to B12 are
//! about fetching: `federation`.)

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use super::{BundleError, JwtKey, MAX_REFRESH, MIN_REFRESH, TrustBundle, TrustBundles};
use crate::testing::TestCa;

fn read(document: &Value) -> Result<TrustBundle, BundleError> {
    TrustBundle::from_document(document.to_string().as_bytes())
}

fn root_entry(ca: &TestCa) -> Value {
    json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(ca.root())]})
}

fn jwt_entry(id: &str) -> Value {
    JwtKey::from_spki(id, &KeyPair::generate().unwrap().subject_public_key_info()).unwrap().to_jwk()
}

#[test]
fn a_bundle_is_read_as_it_was_written() {
    let ca = TestCa::new("td.example");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let bundle = TrustBundle {
        jwt: vec![JwtKey::from_spki("k1", &key.subject_public_key_info()).unwrap()],
        sequence: Some(u64::MAX),
        refresh_hint: Some(Duration::from_secs(300)),
        ..ca.bundle()
    };
    assert_eq!(TrustBundle::from_document(bundle.to_document().as_bytes()).unwrap(), bundle);
    let json: Value = serde_json::from_str(&bundle.to_document()).unwrap();
    assert_eq!(json["keys"][0]["use"], "x509-svid");
    assert_eq!(json["keys"][0]["crv"], "P-256");
    assert!(json["keys"][0].get("kid").is_none());
}

#[test]
fn b01_without_keys_there_is_no_bundle() {
    assert_eq!(read(&json!({"spiffe_sequence": 1})), Err(BundleError::NoKeys));
    for document in [json!({"keys": null}), json!({"keys": {}}), json!([]), json!("keys")] {
        assert!(matches!(read(&document), Err(BundleError::Json(_))), "{document}");
    }
    assert!(matches!(TrustBundle::from_document(b"{\"keys\": ["), Err(BundleError::Json(_))));
    assert!(matches!(TrustBundle::from_document(b"{\"keys\":[],\"keys\":[]}"), Err(BundleError::Json(_))));
}

#[test]
fn b02_unknown_kinds_are_left_out() {
    let ca = TestCa::new("td.example");
    let bundle = read(&json!({"keys": [
        {"kty": "quantum", "use": "x509-svid", "x5c": ["!"]},
        {"kty": "EC", "use": "wit-svid", "kid": "w"},
        {"kty": "EC", "x5c": ["!"]},
        {"kty": "EC", "use": "jwt-svid", "kid": "p521", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "OKP", "use": "jwt-svid", "kid": "ed", "crv": "Ed25519", "x": "AA"},
        7,
        root_entry(&ca),
        jwt_entry("k1"),
    ]}))
    .unwrap();
    assert_eq!((bundle.x509.len(), bundle.jwt.len()), (1, 1));
}

#[test]
fn b03_an_entry_without_certificate_is_left_out_and_of_several_the_first_counts() {
    let (ca, other) = (TestCa::new("td.example"), TestCa::new("other.example"));
    let encode = |ca: &TestCa| STANDARD.encode(ca.root());
    let bundle = read(&json!({"keys": [
        {"kty": "EC", "use": "x509-svid"},
        {"kty": "EC", "use": "x509-svid", "x5c": []},
        {"kty": "EC", "use": "x509-svid", "x5c": [encode(&ca), encode(&other)]},
    ]}))
    .unwrap();
    assert_eq!(bundle.x509, [ca.root().clone()]);
}

#[test]
fn b04_a_jwt_key_without_name_is_left_out() {
    let mut unnamed = jwt_entry("k1");
    unnamed["kid"] = "".into();
    let mut nameless = jwt_entry("k1");
    nameless.as_object_mut().unwrap().remove("kid");
    assert_eq!(read(&json!({"keys": [unnamed, nameless]})).unwrap().jwt, []);
}

#[test]
fn b05_a_sequence_does_not_go_back() {
    let with = |sequence| TrustBundle { sequence, ..TrustBundle::default() };
    assert_eq!(
        with(Some(7)).check_successor(&with(Some(6))),
        Err(BundleError::SequenceGoesBack { held: 7, found: 6 })
    );
    for (held, found) in [(Some(7), Some(7)), (Some(7), Some(8)), (None, Some(1)), (Some(7), None)] {
        assert_eq!(with(held).check_successor(&with(found)), Ok(()));
    }
}

#[test]
fn b06_a_sequence_has_64_bits() {
    let document = format!("{{\"keys\":[],\"spiffe_sequence\":{}}}", (1_u64 << 53) + 1);
    let bundle = TrustBundle::from_document(document.as_bytes()).unwrap();
    assert_eq!(bundle.sequence, Some((1 << 53) + 1));
    for sequence in ["-1", "1.5", "18446744073709551616", "\"1\""] {
        let document = format!("{{\"keys\":[],\"spiffe_sequence\":{sequence}}}");
        let error = TrustBundle::from_document(document.as_bytes()).unwrap_err();
        assert!(matches!(error, BundleError::BadSequence(_)), "{error}");
    }
}

#[test]
fn b07_refresh_hints_are_bent_into_bounds() {
    let hint = |value: Value| read(&json!({"keys": [], "spiffe_refresh_hint": value})).unwrap().refresh_hint;
    assert_eq!(hint(json!(300)), Some(Duration::from_secs(300)));
    for (value, bound) in [
        (json!(0), MIN_REFRESH),
        (json!(-5), MIN_REFRESH),
        (json!(1.5), MIN_REFRESH),
        (json!(1_000_000_000), MAX_REFRESH),
        (json!(u64::MAX), MAX_REFRESH),
    ] {
        assert_eq!(hint(value.clone()), Some(bound), "{value}");
    }
    assert_eq!(hint(json!("300")), None);
    assert_eq!(read(&json!({"keys": []})).unwrap().refresh_hint, None);
}

/// Everything is revoked: a bundle, and an empty one.
#[test]
fn b08_empty_keys_revoke_everything() {
    let bundle = read(&json!({"keys": [], "spiffe_sequence": 9})).unwrap();
    assert_eq!((bundle.x509.len(), bundle.jwt.len(), bundle.sequence), (0, 0, Some(9)));
}

#[test]
fn b09_a_map_names_each_trust_domain_once() {
    let ca = TestCa::new("td.example");
    let bundle = ca.bundle().to_document();
    let map = format!("{{\"trust_domains\":{{\"td.example\":{bundle},\"b.example\":{{\"keys\":[]}}}}}}");
    let bundles = TrustBundles::from_document(map.as_bytes()).unwrap();
    assert_eq!(*bundles.0[ca.trust_domain()], ca.bundle());
    assert_eq!(bundles.0.len(), 2);
    for members in [
        format!("\"td.example\":{bundle},\"td.example\":{bundle}"),
        format!("\"TD.example\":{bundle}"),
        format!("\"spiffe://td.example\":{bundle}"),
        "\"td.example\":[]".to_owned(),
    ] {
        let map = format!("{{\"trust_domains\":{{{members}}}}}");
        assert!(TrustBundles::from_document(map.as_bytes()).is_err(), "{members}");
    }
    assert!(TrustBundles::from_document(bundle.as_bytes()).is_err());
}

/// A known kind that is broken is an error: to leave it out would be to revoke a root by a typing mistake.
#[test]
fn a_broken_entry_breaks_the_document() {
    let ca = TestCa::new("td.example");
    let leaf = ca.issue("spiffe://td.example/a");
    for x5c in ["!", "AAAA", &format!("{}AA==", STANDARD.encode(ca.root()))] {
        let error = read(&json!({"keys": [{"kty": "EC", "use": "x509-svid", "x5c": [x5c]}]})).unwrap_err();
        assert!(matches!(error, BundleError::BadEntry { position: 1, .. }), "{error}");
    }
    let leaf = json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(&leaf.chain()[0])]});
    assert_eq!(read(&json!({"keys": [root_entry(&ca), leaf]})), Err(BundleError::NotCa { position: 2 }));
    let mut narrow = jwt_entry("k1");
    narrow["x"] = "AAAA".into();
    let error = read(&json!({"keys": [narrow]})).unwrap_err();
    assert!(matches!(error, BundleError::BadEntry { .. }), "{error}");
    let small = json!({"kty": "RSA", "use": "jwt-svid", "kid": "k", "n": "AQAB", "e": "AQAB"});
    assert!(read(&json!({"keys": [small]})).is_err());
}

#[test]
fn a_large_document_is_not_read() {
    let document = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    assert!(matches!(TrustBundle::from_document(document.as_bytes()), Err(BundleError::TooLarge { .. })));
}

#[test]
fn roots_are_read_from_pem() {
    let (ca, other) = (TestCa::new("td.example"), TestCa::new("td.example"));
    let pem = format!("# a comment\n{}{}", ca.anchors().0, other.anchors().0);
    let bundle = TrustBundle::from_pem(&pem).unwrap();
    assert_eq!(bundle.x509, [ca.root().clone(), other.root().clone()]);
    assert_eq!(TrustBundle::from_pem(&bundle.to_pem()).unwrap(), bundle);
    assert!(TrustBundle::from_pem("").is_err());
    let leaf = ca.issue("spiffe://td.example/a").chain_pem();
    assert_eq!(TrustBundle::from_pem(&leaf), Err(BundleError::NotCa { position: 1 }));
}

proptest! {
    #[test]
    fn no_document_makes_the_reader_panic(document in any::<Vec<u8>>()) {
        let _ = TrustBundle::from_document(&document);
        let _ = TrustBundles::from_document(&document);
    }

    #[test]
    fn what_is_read_can_be_written_and_read(
        sequence in any::<Option<u64>>(),
        hint in any::<Option<i64>>(),
        uses in proptest::collection::vec("x509-svid|jwt-svid|wit-svid", 0..4),
    ) {
        let keys: Vec<Value> = uses.iter().map(|word| json!({"kty": "EC", "use": word})).collect();
        let mut document = json!({"keys": keys});
        if let Some(sequence) = sequence { document["spiffe_sequence"] = sequence.into(); }
        if let Some(hint) = hint { document["spiffe_refresh_hint"] = hint.into(); }
        let bundle = read(&document).unwrap();
        prop_assert_eq!(bundle.sequence, sequence);
        prop_assert!(bundle.refresh_hint.is_none_or(|hint| (MIN_REFRESH..=MAX_REFRESH).contains(&hint)));
        prop_assert_eq!(TrustBundle::from_document(bundle.to_document().as_bytes()).unwrap(), bundle);
    }
}
