//! What is refused before anything is decided: nothing of it reaches a backend.

use bytes::Bytes;
use http::Request;

use crate::support::*;

/// Sends bytes; they must be refused with that status, the connection closed, and no backend asked.
async fn refused(status: u16, bytes: &str) {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    // What follows is a request that a confused reader would serve.
    let answer = gateway.raw(format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?} gave {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{bytes:?}: the connection is not closed: {answer}");
    assert!(backend.seen().is_empty(), "{bytes:?} reached the backend");
}

#[tokio::test]
async fn two_lengths_are_refused() {
    refused(
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    .await;
    refused(
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    )
    .await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n").await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde").await;
}

#[tokio::test]
async fn odd_framing_is_refused() {
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n").await;
    refused(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde").await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5_0\r\n\r\nabcde").await;
    refused(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde").await;
    refused(400, "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n").await;
}

#[tokio::test]
async fn odd_hosts_are_refused() {
    refused(400, "GET / HTTP/1.1\r\n\r\n").await;
    refused(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    refused(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    refused(400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    refused(400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n").await;
}

#[tokio::test]
async fn odd_paths_are_refused() {
    for path in ["/a/../b", "/%2e%2e/b", "/a%2fb", "/a%5Cb", "/a%00", "/%zz", "/a;x=1"] {
        refused(400, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    refused(414, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000))).await;
    refused(431, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000))).await;
    let fields: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    refused(431, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
}

#[tokio::test]
async fn connect_and_odd_methods_are_refused() {
    refused(405, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").await;
    refused(400, "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    refused(400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    refused(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n").await;
}

#[tokio::test]
async fn unknown_expectations_fail() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let request = Request::get("/").header("host", "a").header("expect", "magic").body(Bytes::new()).unwrap();
    assert_eq!(gateway.send(request).await.status, 417);
}

#[tokio::test]
async fn a_backend_sees_the_canonical_request() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let answer =
        gateway.raw("GET /%7euser/./x HTTP/1.1\r\nHost: A.Example.:80\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = backend.last();
    assert_eq!((seen.uri.path(), seen.header("host")), ("/~user/x", "a.example:80"));
}

#[tokio::test]
async fn identity_and_hop_by_hop_headers_do_not_pass() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-User\r\nX-User: root\r\nX_Auth_User: root\r\n\
                X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nl5d-client-id: root\r\n\
                X-Envoy-Original-Path: /admin\r\nX.Forwarded.For: 1.2.3.4\r\nX-Request-Id: mine\r\n\
                Keep-Alive: timeout=5\r\nX-Kept: yes\r\n\r\n";
    gateway.raw(head).await;
    let seen = backend.last();
    for name in ["x-user", "x_auth_user", "forwarded", "x-real-ip", "l5d-client-id", "x-envoy-original-path"]
    {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert!(!seen.headers.contains_key("x.forwarded.for") && !seen.headers.contains_key("keep-alive"));
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-kept"), "yes");
    assert_ne!(seen.header("x-request-id"), "mine");
}

#[tokio::test]
async fn a_believed_proxy_is_believed() {
    let backend = Server::named("hello").await;
    let plan = Plan::to(&backend)
        .connection(|policy| policy.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
    let gateway = Gateway::start(plan).await;
    let request = Request::get("/")
        .header("host", "a")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("x-request-id", "mine");
    gateway.send(request.body(Bytes::new()).unwrap()).await;
    let seen = backend.last();
    assert_eq!(seen.header("x-forwarded-for"), "203.0.113.9, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(seen.header("x-request-id"), "mine");
}
