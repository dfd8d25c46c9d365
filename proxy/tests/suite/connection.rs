//! The connection: limits, the end of its life, changes of the configuration under it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};

use proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn requests_per_connection_are_counted() {
    let backend = Server::named("hello").await;
    let plan = Plan::to(&backend).connection(|policy| policy.limits.requests_per_connection = 2);
    let gateway = Gateway::start(plan).await;
    let answer = gateway.raw([GET, GET, GET].concat()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn requests_per_connection_are_counted_in_http2() {
    let backend = Server::named("hello").await;
    let plan = Plan::to(&backend).connection(|policy| policy.limits.requests_per_connection = 2);
    let gateway = Gateway::start(plan).await;
    let io = TokioIo::new(gateway.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let closed = tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("http://a/").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(Answer::read(soon(sender.send_request(request)).await.unwrap()).await.status, 200);
    }
    soon(closed).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_old_connection_is_closed() {
    let backend = Server::named("hello").await;
    let plan = Plan::to(&backend).connection(|policy| policy.limits.max_age = Duration::from_millis(100));
    let gateway = Gateway::start(plan).await;
    assert!(gateway.raw(GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_listener_holds_no_more_connections_than_it_may() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend).connection(|policy| policy.limits.connections = 1)).await;
    let mut first = gateway.connect().await;
    first.write_all(GET).await.unwrap();
    let mut byte = [0; 1];
    soon(first.read_exact(&mut byte)).await.unwrap();
    assert_eq!(gateway.raw(GET).await, "");
    drop(first);
    let again = async {
        while gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.is_empty() {}
    };
    soon(again).await;
}

#[tokio::test]
async fn a_new_configuration_keeps_connections_and_a_bad_one_changes_nothing() {
    let (one, two) = (Server::named("one").await, Server::named("two").await);
    let mut gateway = Gateway::start(Plan::to(&one)).await;
    let io = TokioIo::new(gateway.connect().await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async || {
        let request = Request::get("/").header("host", "a").body(Full::<Bytes>::default()).unwrap();
        let answer = Answer::read(soon(sender.send_request(request)).await.unwrap()).await;
        answer.text().to_owned()
    };
    assert_eq!(ask().await, "one");
    assert_eq!(gateway.apply(Plan::to(&two)).await.error, None);
    assert_eq!(ask().await, "two");
    let applied = gateway.apply(Plan::new().rule(forward("missing"))).await;
    assert!(applied.error.unwrap().contains("missing"));
    assert_eq!(applied.generation, 3);
    assert_eq!(ask().await, "two");
}

#[tokio::test]
async fn a_listener_that_goes_takes_its_connections_along() {
    let backend = Server::named("hello").await;
    let mut gateway = Gateway::start(Plan::to(&backend)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    let mut byte = [0; 1];
    soon(stream.read_exact(&mut byte)).await.unwrap();
    let mut plan = Plan::to(&backend);
    plan.0.listeners.clear();
    assert_eq!(gateway.apply(plan).await.listeners, BTreeMap::new());
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(tokio::net::TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_takes_no_more() {
    let (started, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, gate) = tokio::sync::watch::channel(false);
    let backend = Server::start(move |_| {
        let (started, mut gate) = (started.clone(), gate.clone());
        async move {
            started.send(()).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            Response::new(Full::from("done"))
        }
    })
    .await;
    let settings = Settings { drain_delay: Duration::ZERO, drain_deadline: LONG, ..Settings::default() };
    let mut gateway = Gateway::start_with(Plan::to(&backend), settings).await;
    let address = gateway.address;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    soon(begun.recv()).await.unwrap();
    let proxy = gateway.proxy.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || proxy.shutdown());
    soon(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    release.send_replace(true);
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    soon(ended).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let (started, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let backend = Server::start(move |_| {
        started.send(()).unwrap();
        std::future::pending()
    })
    .await;
    let settings = Settings {
        drain_delay: Duration::ZERO,
        drain_deadline: Duration::from_millis(100),
        ..Settings::default()
    };
    let mut gateway = Gateway::start_with(Plan::to(&backend), settings).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    soon(begun.recv()).await.unwrap();
    let proxy = gateway.proxy.take().unwrap();
    soon(tokio::task::spawn_blocking(move || proxy.shutdown())).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
}
