//! Session persistence and affinity: a client stays at its endpoint.

use std::collections::HashSet;

use bytes::Bytes;
use http::Request;
use model::*;

use crate::support::*;

fn ask(name: &str, value: &str) -> Request<Bytes> {
    Request::get("/").header("host", "a").header(name, value).body(Bytes::new()).unwrap()
}

async fn three() -> [Server; 3] {
    [Server::named("one").await, Server::named("two").await, Server::named("three").await]
}

#[tokio::test]
async fn a_cookie_session_stays_and_names_no_address() {
    let backends = three().await;
    let addresses = backends.each_ref().map(|backend| backend.address);
    let carrier = SessionCarrier::Cookie { name: "sid".into(), path: "/".into(), permanent: false };
    let action = forward_with("b", |forward| {
        forward.session = Some(SessionPersistence { carrier, idle_timeout: None, absolute_timeout: None });
    });
    let gateway = Gateway::start(Plan::new().backend("b", &addresses).rule(action)).await;
    let first = gateway.get("/").await;
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("sid=") && !cookie.contains("127.0.0.1"), "{cookie}");
    for _ in 0..6 {
        let answer = gateway.send(ask("cookie", &cookie)).await;
        assert_eq!(answer.text(), first.text());
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    // Without the cookie, or with a forged one, the balance decides.
    let mut others = HashSet::new();
    for _ in 0..6 {
        others.insert(gateway.send(ask("cookie", "sid=127.0.0.1:80")).await.text().to_owned());
    }
    assert_eq!(others.len(), 3);
}

#[tokio::test]
async fn a_header_session_stays() {
    let backends = three().await;
    let addresses = backends.each_ref().map(|backend| backend.address);
    let action = forward_with("b", |forward| {
        let carrier = SessionCarrier::Header("x-session".into());
        forward.session = Some(SessionPersistence { carrier, idle_timeout: None, absolute_timeout: None });
    });
    let gateway = Gateway::start(Plan::new().backend("b", &addresses).rule(action)).await;
    let first = gateway.get("/").await;
    let session = first.header("x-session").to_owned();
    for _ in 0..6 {
        assert_eq!(gateway.send(ask("x-session", &session)).await.text(), first.text());
    }
}

#[tokio::test]
async fn hashing_keeps_a_client_at_an_endpoint() {
    let backends = three().await;
    let addresses = backends.each_ref().map(|backend| backend.address);
    let plan = Plan::new()
        .backend_with("b", &addresses, |backend| {
            backend.balance.algorithm = Algorithm::RingHash;
            backend.balance.affinity = Some(Affinity::Header("x-user".into()));
        })
        .rule(forward("b"));
    let gateway = Gateway::start(plan).await;
    let mut places = HashSet::new();
    for user in ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"] {
        let place = gateway.send(ask("x-user", user)).await.text().to_owned();
        assert_eq!(gateway.send(ask("x-user", user)).await.text(), place);
        places.insert(place);
    }
    assert!(places.len() > 1);
}

#[tokio::test]
async fn an_affinity_cookie_is_made_once() {
    let backends = three().await;
    let addresses = backends.each_ref().map(|backend| backend.address);
    let plan = Plan::new()
        .backend_with("b", &addresses, |backend| {
            backend.balance.algorithm = Algorithm::Maglev;
            backend.balance.affinity =
                Some(Affinity::Cookie { name: "at".into(), path: "/".into(), ttl: None });
        })
        .rule(forward("b"));
    let gateway = Gateway::start(plan).await;
    let first = gateway.get("/").await;
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
    for _ in 0..4 {
        let answer = gateway.send(ask("cookie", &cookie)).await;
        assert_eq!(answer.text(), first.text());
        assert!(!answer.headers.contains_key("set-cookie"));
    }
}
