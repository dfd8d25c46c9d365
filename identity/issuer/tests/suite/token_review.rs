//! Callers whose token the API server reviews.

use issuer::JwksSource;
use serde_json::{Value, json};
use tonic::Code;

use crate::api_server::{ApiServer, pod};
use crate::client::{self, csr, request};
use crate::rig::{CART, Rig};

async fn start() -> (Rig, ApiServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (server, review) = ApiServer::start(folder.path()).await;
    let rig = Rig::start_with(|settings| {
        settings.jwt_callers = None;
        settings.token_review = Some(review);
    })
    .await;
    (rig, server, folder)
}

async fn refused(rig: &Rig, token: &str, code: Code, reason: &str) {
    let issued = rig.issuer.status().issued;
    let status = rig.client().call(None, request(Some(token), &csr(|_| {}).0)).await.unwrap_err();
    assert_eq!(status.code(), code, "{reason}");
    assert_eq!(rig.log.last_reason(), reason);
    assert_eq!(rig.issuer.status().issued, issued, "{reason}: something was signed");
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut status = pod();
    *status.pointer_mut(pointer).unwrap() = value;
    status
}

#[tokio::test]
async fn a_pod_is_who_the_api_server_says() {
    let (rig, server, _folder) = start().await;
    server.answer("good", pod());
    let answer = rig.client().call(None, request(Some("good"), &csr(|_| {}).0)).await.unwrap();
    let (chain, _) = client::split(&answer);
    let facts = identity::peer_facts(&chain, model::PeerProfile::SpiffeStrict).unwrap();
    assert_eq!(facts.id.as_str(), CART);
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!(asked["spec"]["audiences"], json!(["istio-ca"]), "never without an audience");
    assert_eq!(rig.log.audit("Issued").pop().unwrap()["method"], "token-review");
    assert!(!rig.log.text().contains("the-issuers-own"));
}

#[tokio::test]
async fn what_the_api_server_does_not_vouch_for() {
    let (rig, server, _folder) = start().await;
    let cases = [
        ("unknown", json!({"authenticated": false}), "token-refused"),
        ("empty", json!({}), "token-refused"),
        ("no-audience", changed("/audiences", json!([])), "other-audience"),
        ("other-audience", changed("/audiences", json!(["vault"])), "other-audience"),
        ("user", changed("/user/groups", json!(["system:authenticated"])), "no-service-account"),
        ("node", changed("/user/username", json!("system:node:a")), "no-service-account"),
        ("unbound", changed("/user/extra", json!({})), "not-pod-bound"),
        (
            "half-bound",
            changed("/user/extra/authentication.kubernetes.io~1pod-uid", json!([])),
            "not-pod-bound",
        ),
        (
            "empty-uid",
            changed("/user/extra/authentication.kubernetes.io~1pod-uid", json!([""])),
            "not-pod-bound",
        ),
    ];
    for (token, status, reason) in cases {
        server.answer(token, status);
        refused(&rig, token, Code::Unauthenticated, reason).await;
    }
}

#[tokio::test]
async fn a_pod_that_is_deleted_is_nobody_at_once() {
    let (rig, server, _folder) = start().await;
    server.answer("pod", pod());
    rig.client().call(None, request(Some("pod"), &csr(|_| {}).0)).await.unwrap();
    server.answer("pod", json!({"authenticated": false, "error": "pod deleted"}));
    refused(&rig, "pod", Code::Unauthenticated, "token-refused").await;
}

#[tokio::test]
async fn a_refused_token_is_not_asked_about_again_and_again() {
    let (rig, server, _folder) = start().await;
    for _ in 0..5 {
        refused(&rig, "unknown", Code::Unauthenticated, "token-refused").await;
    }
    assert_eq!(server.questions(), 1);
    refused(&rig, "another", Code::Unauthenticated, "token-refused").await;
    assert_eq!(server.questions(), 2);
}

#[tokio::test]
async fn without_the_api_server_nobody_is_anybody() {
    let (rig, server, folder) = start().await;
    server.answer("pod", json!("down"));
    refused(&rig, "pod", Code::Unavailable, "verifier-away").await;
    // And it is asked again as soon as it is back: its absence says nothing of the token.
    server.answer("pod", pod());
    rig.client().call(None, request(Some("pod"), &csr(|_| {}).0)).await.unwrap();
    // Another server that calls itself the API server.
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.crt"), stranger.cert.pem()).unwrap();
    refused(&rig, "pod", Code::Unavailable, "verifier-away").await;
}

#[tokio::test]
async fn keys_are_fetched_and_made_up_names_of_keys_fetch_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, review) = ApiServer::start(folder.path()).await;
    let rig = Rig::start_with(|settings| {
        let callers = settings.jwt_callers.as_mut().unwrap();
        callers.jwks = JwksSource::parse(&format!("{}/openid/v1/jwks", review.api_server));
        callers.ca = Some(review.ca);
    })
    .await;
    let fetched = || server.keys.lock().unwrap().1;
    assert_eq!(fetched(), 0);
    server.keys.lock().unwrap().0 = "<html>".to_owned();
    refused(&rig, &rig.token(), Code::Unavailable, "verifier-away").await;
    // Whoever publishes nonsense is asked again, but not for every caller.
    refused(&rig, &rig.token(), Code::Unavailable, "verifier-away").await;
    assert_eq!(fetched(), 1);
}

#[tokio::test]
async fn fetched_keys_go_on_without_their_server() {
    let folder = tempfile::tempdir().unwrap();
    let (server, review) = ApiServer::start(folder.path()).await;
    let rig = Rig::start_with(|settings| {
        let callers = settings.jwt_callers.as_mut().unwrap();
        callers.jwks = JwksSource::parse(&format!("{}/openid/v1/jwks", review.api_server));
        callers.ca = Some(review.ca);
    })
    .await;
    server.keys.lock().unwrap().0 = rig.tokens.jwks();
    rig.cart().await;
    for number in 0..5 {
        let stranger = crate::token::TokenKey::new(&format!("made-up-{number}"));
        refused(&rig, &stranger.sign(&rig.claims()), Code::Unauthenticated, "unknown-key").await;
    }
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    rig.cart().await;
    assert_eq!(server.keys.lock().unwrap().1, 1);
}

#[tokio::test]
async fn what_is_fetched_is_fetched_over_https_alone() {
    for url in ["http://127.0.0.1/jwks", "http://kubernetes.default.svc/openid/v1/jwks"] {
        let mut settings = issuer::IssuerSettings::new(crate::rig::trust_domain());
        settings.jwt_callers = Some(issuer::JwtCallers {
            jwks: JwksSource::parse(url),
            issuer: "a".to_owned(),
            audiences: vec!["b".to_owned()],
            pod_bound: false,
            ca: None,
        });
        let error = issuer::Issuer::start(settings).await.unwrap_err();
        assert!(error.to_string().contains("https only"), "{error}");
    }
    let mut settings = issuer::IssuerSettings::new(crate::rig::trust_domain());
    settings.token_review = Some(issuer::TokenReview {
        api_server: "https://127.0.0.1".to_owned(),
        ca: "ca.crt".into(),
        token: "token".into(),
        audiences: Vec::new(),
    });
    let error = issuer::Issuer::start(settings).await.unwrap_err();
    assert!(error.to_string().contains("audience"), "{error}");
}
