//! The access log: one line for each request, on every path.

use bytes::Bytes;
use http::Request;
use model::*;
use proxy::settings::Settings;
use proxy::telemetry::access_log::AccessLogTarget;
use tokio::io::AsyncWriteExt;

use crate::support::*;

async fn lines(gateway: &Gateway, path: &std::path::Path, count: usize) -> Vec<serde_json::Value> {
    soon(async {
        loop {
            gateway.proxy.as_ref().unwrap().access_log().flush(LONG);
            let text = std::fs::read_to_string(path).unwrap();
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn every_request_has_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let backend = Server::named("hello").await;
    let pending = Server::start(|_| std::future::pending()).await;
    let plan = Plan::new()
        .backend("b", &[backend.address])
        .backend("gone", &[])
        .backend("pending", &[pending.address])
        .prefix("/ok", vec![], forward("b"))
        .prefix("/gone", vec![], forward("gone"))
        .prefix("/pending", vec![], forward("pending"));
    let settings = Settings { access_log: AccessLogTarget::File(path.clone()), ..Settings::default() };
    let gateway = Gateway::start_with(plan, settings).await;
    let request = Request::post("/ok?q")
        .header("host", "a.example")
        .header("user-agent", "test")
        .body(Bytes::from_static(b"12345"));
    gateway.send(request.unwrap()).await;
    gateway.get("/none").await;
    gateway.get("/gone").await;
    gateway.raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    gateway.raw("nonsense\r\n\r\n").await;
    let mut stream = gateway.connect().await;
    stream.write_all(b"GET /pending HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    soon(async {
        while pending.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    let lines = lines(&gateway, &path, 6).await;
    assert_eq!(lines.len(), 6);
    let flags: Vec<_> = lines
        .iter()
        .map(|line| (line["response_code"].as_u64().unwrap(), line["response_flags"].as_str().unwrap()))
        .collect();
    assert_eq!(flags, [(200, "-"), (404, "NR"), (503, "UH"), (400, "DPE"), (400, "DPE"), (0, "DC")]);
    let first = &lines[0];
    assert_eq!(first["method"], "POST");
    assert_eq!(first["path"], "/ok?q");
    assert_eq!(first["authority"], "a.example");
    assert_eq!(first["user_agent"], "test");
    assert_eq!(first["bytes_received"], 5);
    assert_eq!(first["bytes_sent"], 5);
    assert_eq!(first["route_name"], "ns/r/0");
    assert_eq!(first["upstream_host"], backend.address.to_string());
    assert_eq!(first["response_code_details"], "via_upstream");
    assert_eq!(first["request_id"], backend.last().header("x-request-id"));
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    for _ in 0..3 {
        gateway.get("/").await;
    }
    let metrics = gateway.proxy.as_ref().unwrap().metrics().clone();
    soon(async {
        loop {
            let text = metrics.encode();
            let line = text.lines().find(|line| {
                line.starts_with("istio_requests_total") && line.contains("response_code=\"200\"")
            });
            if line.is_some_and(|line| line.ends_with(" 3")) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn retries_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let action = forward_with("b", |forward| {
        forward.retry = Some(Retry {
            attempts: 2,
            codes: vec![],
            connect_failure: true,
            reset: false,
            backoff: std::time::Duration::from_millis(1),
            budget: None,
        });
    });
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = Settings { access_log: AccessLogTarget::File(path.clone()), ..Settings::default() };
    let gateway = Gateway::start_with(Plan::new().backend("b", &[nobody]).rule(action), settings).await;
    assert_eq!(gateway.get("/").await.status, 503);
    let lines = lines(&gateway, &path, 1).await;
    assert_eq!(lines[0]["response_flags"], "UF,URX");
}

/// The HTTP/2 library answers header lists over its own bound by itself, so ours has to come first.
#[tokio::test]
async fn oversized_http2_heads_have_a_line_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let backend = Server::named("hello").await;
    let settings = Settings { access_log: AccessLogTarget::File(path.clone()), ..Settings::default() };
    let gateway = Gateway::start_with(Plan::to(&backend), settings).await;
    let with = |bytes: usize| {
        Request::get("http://a.example/").header("x", "a".repeat(bytes)).body(Bytes::new()).unwrap()
    };
    assert_eq!(gateway.send2(with(30_000)).await.status, 200);
    assert_eq!(gateway.send2(with(40_000)).await.status, 431);
    let lines = lines(&gateway, &path, 2).await;
    assert_eq!(lines[1]["response_code"], 431);
    assert_eq!(lines[1]["response_code_details"], "request_headers_too_large");
    assert_eq!(backend.seen().len(), 1);
}
