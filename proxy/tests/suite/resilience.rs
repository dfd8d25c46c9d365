//! What goes wrong upstream: errors, retries, time limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use model::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Answers 503 that many times, then 200.
async fn flaky(failures: usize) -> Server {
    let count = Arc::new(AtomicUsize::new(0));
    Server::start(move |seen| {
        let failed = count.fetch_add(1, Ordering::Relaxed) < failures;
        async move {
            let mut response = Response::new(Full::new(seen.body));
            if failed {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
    })
    .await
}

/// Answers after that time.
async fn slow(delay: Duration) -> Server {
    Server::start(move |_| async move {
        tokio::time::sleep(delay).await;
        Response::new(Full::from("late"))
    })
    .await
}

fn retry(attempts: u32, codes: &[u16]) -> Option<Retry> {
    Some(Retry {
        attempts,
        codes: codes.to_vec(),
        connect_failure: true,
        reset: false,
        backoff: Duration::from_millis(1),
        budget: None,
    })
}

fn post(body: &'static str) -> Request<Bytes> {
    Request::post("/").header("host", "a").body(Bytes::from(body)).unwrap()
}

#[tokio::test]
async fn an_unreachable_backend_is_unavailable() {
    let gateway = Gateway::start(Plan::new().backend("b", &[nobody().await]).rule(forward("b"))).await;
    assert_eq!(gateway.get("/").await.status, 503);
    let none = Gateway::start(Plan::new().backend("b", &[]).rule(forward("b"))).await;
    assert_eq!(none.get("/").await.status, 503);
}

#[tokio::test]
async fn invalid_and_missing_backends_answer_their_status() {
    let invalid = |status| {
        Action::Forward(Forward {
            backends: vec![WeightedBackend {
                weight: 1,
                backend: BackendRef::Invalid { reason: "not granted: secret/place".into(), status },
                filters: vec![],
            }],
            ..Forward::default()
        })
    };
    let plan = Plan::new().prefix("/500", vec![], invalid(500)).prefix("/503", vec![], invalid(503)).prefix(
        "/none",
        vec![],
        Action::Forward(Forward::default()),
    );
    let gateway = Gateway::start(plan).await;
    let answer = gateway.get("/500").await;
    assert_eq!((answer.status, answer.text()), (500, "no backend"));
    assert_eq!(gateway.get("/503").await.status, 503);
    assert_eq!(gateway.get("/none").await.status, 500);
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let backend = Server::named("alive").await;
    let action = forward_with("b", |forward| forward.retry = retry(100, &[]));
    let plan = Plan::new().backend("b", &[nobody().await, backend.address]).rule(action);
    let gateway = Gateway::start(plan).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.text(), "alive");
    }
    // A connection that was never made may be tried again whatever the method.
    assert_eq!(gateway.send(post("x")).await.text(), "alive");
}

#[tokio::test]
async fn listed_codes_are_tried_again_with_the_same_body() {
    let backend = flaky(2).await;
    let action = forward_with("b", |forward| forward.retry = retry(2, &[503]));
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    let answer = gateway.send(post("again")).await;
    assert_eq!((answer.status, answer.text()), (200, "again"));
    assert_eq!(backend.seen().len(), 3);
    assert!(backend.seen().iter().all(|seen| seen.body == "again"));
}

#[tokio::test]
async fn tries_are_counted_and_unlisted_codes_stand() {
    for (retry, failures, tries) in
        [(retry(2, &[503]), 9, 3), (retry(2, &[500]), 9, 1), (retry(0, &[503]), 9, 1), (None, 9, 1)]
    {
        let backend = flaky(failures).await;
        let action = forward_with("b", |forward| forward.retry = retry.clone());
        let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
        assert_eq!(gateway.get("/").await.status, 503);
        assert_eq!(backend.seen().len(), tries, "{retry:?}");
    }
}

#[tokio::test]
async fn a_long_body_is_sent_once() {
    let backend = flaky(1).await;
    let action = forward_with("b", |forward| forward.retry = retry(2, &[503]));
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    let body = Bytes::from(vec![b'x'; 200_000]);
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    assert_eq!(gateway.send(request).await.status, 503);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn retries_keep_to_the_budget() {
    let backend = flaky(usize::MAX).await;
    let action = forward_with("b", |forward| forward.retry = retry(1, &[503]));
    let budget = RetryBudget { percent: 0, min_per_second: 0, interval: Duration::from_secs(10) };
    let plan = Plan::new()
        .backend_with("b", &[backend.address], |backend| backend.retry_budget = Some(budget))
        .rule(action);
    let gateway = Gateway::start(plan).await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_request_times_out() {
    let backend = slow(LONG).await;
    let action = forward_with("b", |forward| forward.timeouts.request = Some(Duration::from_millis(100)));
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, answer.text()), (504, "upstream request timeout"));
}

#[tokio::test]
async fn zero_is_no_time_limit() {
    let backend = slow(Duration::from_millis(50)).await;
    let action = forward_with("b", |forward| {
        forward.timeouts.request = Some(Duration::ZERO);
        forward.timeouts.backend_request = Some(Duration::ZERO);
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    assert_eq!(gateway.get("/").await.text(), "late");
}

#[tokio::test]
async fn a_try_that_times_out_is_followed_by_another() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = Server::start(move |_| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                tokio::time::sleep(LONG).await;
            }
            Response::new(Full::from("second"))
        }
    })
    .await;
    let action = forward_with("b", |forward| {
        forward.timeouts.backend_request = Some(Duration::from_millis(100));
        forward.retry = retry(1, &[]);
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    assert_eq!(gateway.get("/").await.text(), "second");
}

#[tokio::test]
async fn the_request_time_limit_bounds_all_tries() {
    let backend = slow(LONG).await;
    let action = forward_with("b", |forward| {
        forward.timeouts.request = Some(Duration::from_millis(250));
        forward.timeouts.backend_request = Some(Duration::from_millis(100));
        forward.retry = retry(100, &[]);
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    let begin = Instant::now();
    assert_eq!(gateway.get("/").await.status, 504);
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn weights_are_kept_exactly() {
    let (one, two) = (Server::named("one").await, Server::named("two").await);
    let action = Action::Forward(Forward {
        backends: vec![weighted("one", 3), weighted("two", 1), weighted("none", 0)],
        ..Forward::default()
    });
    let plan = Plan::new()
        .backend("one", &[one.address])
        .backend("two", &[two.address])
        .backend("none", &[nobody().await])
        .rule(action);
    let gateway = Gateway::start(plan).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (15, 5));
}

#[tokio::test]
async fn a_rule_has_a_retry_budget_of_its_own() {
    let backend = flaky(usize::MAX).await;
    let action = forward_with("b", |forward| {
        let budget = RetryBudget { percent: 50, min_per_second: 0, interval: Duration::from_secs(10) };
        forward.retry = retry(1, &[503]).map(|retry| Retry { budget: Some(budget), ..retry });
    });
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.status, 503);
    }
    assert_eq!(backend.seen().len(), 6, "one retry for two requests");
}

#[tokio::test]
async fn a_body_that_stops_is_a_request_timeout() {
    let backend = Server::named("hello").await;
    let action = forward_with("b", |forward| forward.timeouts.idle = Some(Duration::from_millis(100)));
    let gateway = Gateway::start(Plan::new().backend("b", &[backend.address]).rule(action)).await;
    let answer = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_stops_is_broken_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    });
    let action = forward_with("b", |forward| forward.timeouts.idle = Some(Duration::from_millis(100)));
    let gateway = Gateway::start(Plan::new().backend("b", &[address]).rule(action)).await;
    assert!(gateway.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("half"));
}
