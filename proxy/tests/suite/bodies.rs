//! Bodies and framing: passed on as they come, whole or not at all.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use model::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

#[tokio::test]
async fn a_body_of_either_framing_arrives_whole() {
    let backend = Server::start(|seen| async move { Response::new(Full::new(seen.body)) }).await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let request = Request::post("/").header("host", "a").body(Bytes::from(vec![b'x'; 300_000])).unwrap();
    assert_eq!(gateway.send(request).await.body.len(), 300_000);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let answer = gateway.raw(chunked).await;
    assert!(answer.ends_with("\r\n\r\nabcdefg"), "{answer}");
    let seen = backend.last();
    assert_eq!(seen.header("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend =
        Server::start(|seen| async move { Response::new(Full::from(seen.uri.path().to_owned())) }).await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let answer = gateway
        .raw("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let places: Vec<_> = ["/1", "/2", "/3"].map(|path| answer.find(path).unwrap()).into();
    assert!(places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn head_and_not_modified_have_no_body_but_keep_its_length() {
    let backend = Server::start(|seen| async move {
        let mut response = Response::new(Full::from("hello"));
        if seen.uri.path() == "/304" {
            *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            *response.body_mut() = Full::default();
        }
        response
    })
    .await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let head = gateway.send(Request::head("/").header("host", "a").body(Bytes::new()).unwrap()).await;
    assert_eq!((head.status, head.header("content-length"), head.text()), (200, "5", ""));
    assert_eq!(gateway.get("/304").await.status, 304);
    let raw = gateway
        .raw("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(raw.matches("HTTP/1.1 200").count(), 2, "{raw}");
}

#[tokio::test]
async fn expect_continue_is_answered_here() {
    let backend = Server::start(|seen| async move { Response::new(Full::new(seen.body)) }).await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let mut stream = gateway.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    let mut interim = [0; 25];
    soon(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
    assert!(!backend.last().headers.contains_key("expect"));
}

#[tokio::test]
async fn a_short_answer_is_not_passed_off_as_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await.unwrap();
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("content-length: 100") && answer.ends_with("short"), "{answer}");
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        // The connection stays open: the answer alone must end the request.
        let _ = stream.read(&mut [0; 1024]).await;
        std::future::pending::<()>().await;
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let mut stream = gateway.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin").await.unwrap();
    let mut answer = vec![0; 22];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 403 Forbidden");
}

#[tokio::test]
async fn the_buffer_filter_bounds_a_body() {
    let backend = Server::named("hello").await;
    let plan = Plan::new().backend("b", &[backend.address]).prefix(
        "/",
        vec![Filter::Buffer(Buffer { max_bytes: 10 })],
        forward("b"),
    );
    let gateway = Gateway::start(plan).await;
    let post =
        |length: usize| Request::post("/").header("host", "a").body(Bytes::from(vec![b'x'; length])).unwrap();
    assert_eq!(gateway.send(post(10)).await.status, 200);
    assert_eq!(gateway.send(post(11)).await.status, 413);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n";
    assert!(gateway.raw(chunked).await.starts_with("HTTP/1.1 413"));
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_slow_head_is_cut() {
    let backend = Server::named("hello").await;
    let plan =
        Plan::to(&backend).connection(|policy| policy.limits.header_timeout = Duration::from_millis(100));
    let gateway = Gateway::start(plan).await;
    assert_eq!(gateway.raw("").await, "", "a connection that says nothing");
    assert_eq!(gateway.raw("GET / HTTP/1.1\r\nHost:").await, "", "a head that does not end");
    let keep = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTT").await;
    assert_eq!(keep.matches("HTTP/1.1 200").count(), 1, "{keep}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let backend = Server::named("hello").await;
    let plan =
        Plan::to(&backend).connection(|policy| policy.limits.idle_timeout = Duration::from_millis(100));
    let gateway = Gateway::start(plan).await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
