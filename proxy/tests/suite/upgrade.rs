//! Upgrades: 101 and nothing else opens a tunnel.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

const ASK: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

/// Reads a head, answers with `head`, then echoes. Gives the head that it read.
async fn endpoint(head: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = read_head(&mut stream).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..count]).await.unwrap();
        }
        read
    });
    (address, task)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel() {
    let (address, endpoint) = endpoint(SWITCH).await;
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let mut stream = gateway.connect().await;
    // Bytes that come with the request are held until the endpoint has agreed.
    stream.write_all(&[ASK, b"early"].concat()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    let mut bytes = [0; 9];
    stream.write_all(b"late").await.unwrap();
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"earlylate");
    stream.shutdown().await.unwrap();
    assert_eq!(soon(stream.read(&mut bytes)).await.unwrap(), 0);
    let read = soon(endpoint).await.unwrap().to_lowercase();
    assert!(read.contains("connection: upgrade\r\n") && read.contains("upgrade: websocket\r\n"), "{read}");
    assert!(read.contains("sec-websocket-key: k\r\n"));
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let (address, _) = endpoint("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let mut stream = gateway.connect().await;
    stream.write_all(ASK).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_an_error() {
    let (address, _) = endpoint(SWITCH).await;
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[tokio::test]
async fn another_protocol_than_asked_for_is_an_error() {
    let (address, _) =
        endpoint("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n").await;
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(forward("b"))).await;
    let mut stream = gateway.connect().await;
    stream.write_all(ASK).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn h2c_by_upgrade_is_answered_as_http1() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let answer = gateway
        .raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = backend.last();
    assert!(!seen.headers.contains_key("upgrade") && !seen.headers.contains_key("http2-settings"));
}
