//! The plain way: a request goes to a backend and its answer comes back.

use bytes::Bytes;
use http::{Request, Version};

use crate::support::*;

#[tokio::test]
async fn a_request_goes_there_and_its_answer_comes_back() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let answer = gateway.get("/path?query=1").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let seen = backend.last();
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("GET", "/path?query=1"));
    assert_eq!(seen.version, Version::HTTP_11);
    assert_eq!(seen.header("host"), "a.example");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-host"), "a.example");
    assert_eq!(seen.header("x-forwarded-port"), "80");
    assert_eq!(seen.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let request = Request::post("http://a.example/p").body(Bytes::from_static(b"body")).unwrap();
    let answer = gateway.send2(request).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let seen = backend.last();
    assert_eq!((seen.uri.to_string().as_str(), seen.header("host")), ("/p", "a.example"));
    assert_eq!(seen.body, "body");
}

#[tokio::test]
async fn connections_to_endpoints_are_used_again() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!(*backend.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn no_route_is_not_found() {
    let backend = Server::named("hello").await;
    let plan = Plan::new().backend("b", &[backend.address]).prefix("/a", vec![], forward("b"));
    let gateway = Gateway::start(plan).await;
    assert_eq!(gateway.get("/a").await.status, 200);
    assert_eq!(gateway.get("/b").await.status, 404);
}
