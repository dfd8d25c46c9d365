//! Whoever cannot prove who it is gets one opaque status; why is in the audit log, and nothing was signed.

use std::time::Duration;

use identity::testing::TestCa;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tonic::Code;

use crate::client::{self, Shown, csr, request};
use crate::rig::{CART, Rig};
use crate::token::{TokenKey, with};

/// Asserts that a call is refused without a word to the caller, and for that reason.
async fn refused(rig: &Rig, token: &str, reason: &str) {
    refused_header(rig, &[format!("Bearer {token}")], reason).await;
}

async fn refused_header(rig: &Rig, headers: &[String], reason: &str) {
    let issued = rig.issuer.status().issued;
    let mut call = request(None, &csr(|_| {}).0);
    for header in headers {
        call.metadata_mut().append("authorization", header.parse().unwrap());
    }
    let status = rig.client().call(None, call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{reason}: {status:?}");
    assert_eq!(status.message(), "request authenticate failure", "{reason}");
    assert_eq!(rig.log.last_reason(), reason, "{headers:?}");
    assert_eq!(rig.issuer.status().issued, issued, "{reason}: something was signed");
}

#[tokio::test]
async fn headers_that_are_no_proof() {
    let rig = Rig::start().await;
    refused_header(&rig, &[], "no-credentials").await;
    let token = rig.token();
    for header in [format!("Basic {token}"), token.clone(), "Bearer ".to_owned(), format!("Bearer {token} x")]
    {
        refused_header(&rig, &[header], "bad-header").await;
    }
    let good = format!("Bearer {token}");
    refused_header(&rig, &[good.clone(), good], "bad-header").await;
    refused(&rig, &"x".repeat(17 * 1024), "token-too-large").await;
}

#[tokio::test]
async fn tokens_that_prove_nothing() {
    let rig = Rig::start().await;
    let sign = |name: &str, value: Value| rig.tokens.sign(&with(rig.claims(), name, value));
    refused(&rig, "garbage", "foreign-issuer").await;
    refused(&rig, "a.b.c", "foreign-issuer").await;
    refused(&rig, &sign("iss", json!("https://elsewhere")), "foreign-issuer").await;
    refused(&rig, &sign("aud", json!(["vault"])), "other-audience").await;
    refused(&rig, &sign("aud", json!([])), "other-audience").await;
    refused(&rig, &sign("aud", Value::Null), "other-audience").await;
    refused(&rig, &sign("exp", json!(1)), "expired-token").await;
    refused(&rig, &sign("exp", Value::Null), "bad-token").await;
    refused(&rig, &sign("exp", json!("soon")), "bad-token").await;
    refused(&rig, &sign("nbf", json!(9_999_999_999_u64)), "future-token").await;
    for subject in [
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount:shop:cart:x",
        "system:serviceaccount:../x:cart",
        "system:serviceaccount:shop:..",
        "system:serviceaccount:Shop:cart",
        "system:node:worker-1",
        "admin",
        "",
    ] {
        refused(&rig, &sign("sub", json!(subject)), "no-service-account").await;
    }
    refused(&rig, &sign("sub", Value::Null), "no-service-account").await;
}

#[tokio::test]
async fn signatures_that_prove_nothing() {
    let rig = Rig::start().await;
    let claims = rig.claims();
    let other = TokenKey::new("k1");
    refused(&rig, &other.sign(&claims), "bad-signature").await;
    refused(&rig, &TokenKey::new("k2").sign(&claims), "unknown-key").await;
    let (head, signature) = rig.token().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    refused(&rig, &format!("{head}."), "bad-signature").await;
    let none = encode(&json!({"alg": "none", "typ": "JWT"}));
    let payload = encode(&claims);
    refused(&rig, &format!("{none}.{payload}."), "bad-token").await;
    refused(&rig, &format!("{none}.{payload}.{signature}"), "bad-token").await;
    // The public key as a shared secret: RS/ES to HS confusion.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    let key = EncodingKey::from_secret(&rig.tokens.public());
    refused(&rig, &jsonwebtoken::encode(&header, &claims, &key).unwrap(), "bad-algorithm").await;
    let critical = encode(&json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false}));
    refused(&rig, &format!("{critical}.{payload}.{signature}"), "bad-token").await;
    // A payload that was changed after it was signed.
    let changed = encode(&with(claims, "sub", json!("system:serviceaccount:kube-system:admin")));
    let header = head.split('.').next().unwrap();
    refused(&rig, &format!("{header}.{changed}.{signature}"), "bad-signature").await;
}

#[tokio::test]
async fn tokens_expire_and_keys_are_replaced() {
    let rig = Rig::start().await;
    let token = rig.token();
    let (csr, _) = csr(|_| {});
    rig.client().call(None, request(Some(&token), &csr)).await.unwrap();
    // Issuing keys are rotated: the file is read as it is now.
    let next = TokenKey::new("k9");
    std::fs::write(rig.path("jwks.json"), next.jwks()).unwrap();
    refused(&rig, &token, "unknown-key").await;
    rig.client().call(None, request(Some(&next.sign(&rig.claims())), &csr)).await.unwrap();
    std::fs::write(rig.path("jwks.json"), "{").unwrap();
    rig.client().call(None, request(Some(&next.sign(&rig.claims())), &csr)).await.unwrap();
    let token = next.sign(&rig.claims());
    rig.pass(Duration::from_secs(601));
    refused(&rig, &token, "expired-token").await;
}

#[tokio::test]
async fn a_token_that_must_be_bound_to_a_pod_and_is_not() {
    let rig = Rig::start_with(|settings| settings.jwt_callers.as_mut().unwrap().pod_bound = true).await;
    refused(&rig, &rig.tokens.sign(&with(rig.claims(), "kubernetes.io", Value::Null)), "not-pod-bound").await;
    rig.cart().await;
}

#[tokio::test]
async fn another_cluster_is_not_answered_for() {
    let rig = Rig::start().await;
    for (cluster, accepted) in [("Kubernetes", true), ("", true), ("other", false)] {
        let mut call = request(Some(&rig.token()), &csr(|_| {}).0);
        call.metadata_mut().insert("clusterid", cluster.parse().unwrap());
        let result = rig.client().call(None, call).await;
        assert_eq!(result.is_ok(), accepted, "{cluster:?}");
    }
    assert_eq!(rig.log.last_reason(), "foreign-cluster");
}

#[tokio::test]
async fn certificates_that_prove_nothing() {
    let rig = Rig::start().await;
    let shown = |ca: &TestCa, id: &str| {
        let issued = ca.issue_with(id, |_| {});
        Shown { chain: issued.chain, key: issued.key.serialize_der() }
    };
    let ours = rig.cart().await;
    let stranger = TestCa::new("cluster.local");
    let partner = TestCa::new("partner.test");
    for (name, shown) in [
        ("a CA that calls itself ours", shown(&stranger, CART)),
        ("another trust domain", shown(&partner, "spiffe://partner.test/ns/shop/sa/cart")),
        ("no URI", shown(&stranger, "cart.shop")),
    ] {
        let issued = rig.issuer.status().issued;
        let status = rig.client().call(Some(&shown), request(None, &csr(|_| {}).0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{name}");
        assert_eq!(rig.log.last_reason(), "bad-certificate", "{name}");
        assert_eq!(rig.issuer.status().issued, issued, "{name}");
    }
    // A bad token beside a good certificate decides: what fails is not tried in another way.
    let status = rig.client().call(Some(&ours), request(Some("x"), &csr(|_| {}).0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    // A certificate that ends while its connection lives.
    let mut connection = rig.client().connect(Some(&ours)).await;
    connection.create_certificate(request(None, &csr(|_| {}).0)).await.unwrap();
    rig.pass(Duration::from_secs(601));
    let status = connection.create_certificate(request(None, &csr(|_| {}).0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(rig.log.last_reason(), "bad-certificate");
}

#[tokio::test]
async fn where_certificates_are_no_proof() {
    let rig = Rig::start_with(|settings| settings.svid_renewal = false).await;
    let ours = rig.cart().await;
    let status = rig.client().call(Some(&ours), request(None, &csr(|_| {}).0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(rig.log.last_reason(), "no-renewal");
}

#[tokio::test]
async fn a_renewal_is_for_the_same_id_alone() {
    let rig = Rig::start().await;
    let ours = rig.cart().await;
    let other = csr(|params| {
        params.subject_alt_names =
            vec![rcgen::SanType::URI("spiffe://cluster.local/ns/shop/sa/admin".try_into().unwrap())];
    });
    let status = rig.client().call(Some(&ours), request(None, &other.0)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(rig.log.last_reason(), "csr-foreign-uri");
    let (csr, _) = csr(|_| {});
    let answer = rig.client().call(Some(&ours), request(None, &csr)).await.unwrap();
    let (chain, _) = client::split(&answer);
    let facts = identity::peer_facts(&chain, model::PeerProfile::SpiffeStrict).unwrap();
    assert_eq!(facts.id.as_str(), CART);
    assert_eq!(rig.log.audit("Issued").last().unwrap()["method"], "svid");
}

fn encode(json: &Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
}
