//! Administration and metrics over HTTP.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Rig, id, ourselves, registered};

async fn ask(address: SocketAddr, head: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
    let text = format!("{head} HTTP/1.1\r\n{host}{headers}connection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn roots_are_rotated_by_a_post() {
    let rig = Rig::start().await;
    let admin = rig.issuer.addresses().admin.unwrap();
    let (code, body) = ask(admin, "GET /status", "").await;
    assert_eq!(code, 200);
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["trustDomain"], "cluster.local");
    assert_eq!(status["roots"].as_array().unwrap().len(), 1);
    for (head, headers) in [
        ("POST /rotate-root", ""),
        ("POST /rotate-root", "x-diolkos: 0\r\n"),
        ("GET /status", "host: evil.test\r\n"),
        ("POST /rotate-root", "host: evil.test:80\r\nx-diolkos: 1\r\n"),
    ] {
        assert_eq!(ask(admin, head, headers).await.0, 403, "{head} {headers:?}");
    }
    assert_eq!(ask(admin, "GET /rotate-root", "").await.0, 404);
    assert_eq!(rig.roots().len(), 1, "nothing was rotated");
    let ours = "x-diolkos: 1\r\n";
    let (code, body) = ask(admin, "POST /rotate-root", ours).await;
    assert_eq!(code, 200, "{body}");
    let rotation: Value = serde_json::from_str(&body).unwrap();
    let (code, body) = ask(admin, "POST /rotate-root", ours).await;
    assert_eq!(code, 409);
    assert!(
        body.contains(rotation["old"].as_str().unwrap()) && body.contains(rotation["new"].as_str().unwrap())
    );
    assert_eq!(ask(admin, "POST /rotate-root?force=yes", ours).await.0, 400);
    let (code, body) = ask(admin, "POST /rotate-root?force=true", ours).await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(rig.roots().len(), 1);
    let (code, body) = ask(admin, "GET /bundle", "").await;
    assert_eq!(code, 200);
    assert_eq!(identity::TrustBundle::from_document(body.as_bytes()).unwrap().x509, rig.roots());
}

#[tokio::test]
async fn bootstrap_tokens_are_made_for_registrations() {
    let rig = Rig::start().await;
    let registration = issuer::Registration::new(id("spiffe://cluster.local/ns/vm/sa/a"), ourselves());
    rig.issuer.configure(registered([("a", registration)]));
    let admin = rig.issuer.addresses().admin.unwrap();
    let ours = "x-diolkos: 1\r\n";
    let (code, body) = ask(admin, "POST /bootstrap-token?registration=a&ttl=60", ours).await;
    assert_eq!(code, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(answer["token"].as_str().unwrap().starts_with("diolkos-bootstrap."));
    for query in
        ["", "?registration=b", "?registration=a&ttl=0", "?registration=a&ttl=x", "?registration=a&ttl=86401"]
    {
        let (code, _) = ask(admin, &format!("POST /bootstrap-token{query}"), ours).await;
        assert!(matches!(code, 400 | 409), "{query}");
    }
}

#[tokio::test]
async fn metrics_count_what_was_issued_and_refused() {
    let rig = Rig::start().await;
    rig.cart().await;
    let _ = rig.client().call(None, crate::client::request(None, "")).await;
    let metrics = rig.issuer.addresses().metrics.unwrap();
    let (code, body) = ask(metrics, "GET /metrics", "").await;
    assert_eq!(code, 200);
    for line in [
        "diolkos_issuer_issued_total{kind=\"x509\",method=\"jwks\"} 1",
        "diolkos_issuer_refused_total{kind=\"x509\",reason=\"no-credentials\"} 1",
        "diolkos_issuer_roots 1",
        "diolkos_issuer_bundle_sequence ",
        "diolkos_issuer_signing_not_after_seconds ",
        "diolkos_issuer_connections ",
        "diolkos_issuer_workload_streams 0",
    ] {
        assert!(body.contains(line), "{line} is not in\n{body}");
    }
    assert_eq!(ask(metrics, "GET /status", "").await.0, 404);
}

#[tokio::test]
async fn administration_stays_on_loopback() {
    let mut settings = issuer::IssuerSettings::new(crate::rig::trust_domain());
    settings.admin = Some("0.0.0.0:0".parse().unwrap());
    let error = issuer::Issuer::start(settings).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}
