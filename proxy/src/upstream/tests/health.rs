//! Active health checks against real sockets.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::{ActiveHealth, BackendProtocol, Probe};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::spawn_local;

use super::support::*;
use crate::upstream::*;

fn checked(address: SocketAddr, probe: &Probe, change: impl Fn(&mut model::Backend)) -> Arc<BackendHandle> {
    backend(address, |spec| {
        spec.health.active = Some(ActiveHealth {
            probe: probe.clone(),
            interval: Duration::from_millis(2),
            timeout: Duration::from_secs(5),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        });
        change(spec);
    })
}

fn fit(backend: &BackendHandle) -> bool {
    backend.members().iter().all(|member| member.state.passes_checks())
}

fn http_probe(statuses: &[u16]) -> Probe {
    Probe::Http { path: "/healthz?x=1".into(), host: "probe.example".into(), statuses: statuses.to_vec() }
}

fn checker() -> HealthChecker {
    HealthChecker::new(Handle::current(), resolver())
}

#[test]
fn http_status_decides() {
    on_a_core(async {
        let well = Rc::new(Cell::new(true));
        let says = Rc::clone(&well);
        let server = Raw::start(move |_| match says.get() {
            true => OK,
            false => Reply::Send("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"),
        })
        .await;
        let backend = checked(server.address, &http_probe(&[]), |_| {});
        let mut checker = checker();
        checker.reconcile([&backend]);
        until(|| server.seen().len() > 2).await;
        assert!(fit(&backend));
        let head = server.seen()[0].head.clone();
        assert!(
            head.starts_with("GET /healthz?x=1 HTTP/1.1\r\n") && head.contains("host: probe.example\r\n"),
            "{head}"
        );
        well.set(false);
        until(|| !fit(&backend)).await;
        well.set(true);
        until(|| fit(&backend)).await;
    });
}

#[test]
fn statuses_may_be_named() {
    on_a_core(async {
        let server = Raw::always(Reply::Send("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")).await;
        let (named, unnamed) = (
            checked(server.address, &http_probe(&[401]), |_| {}),
            checked(server.address, &http_probe(&[]), |_| {}),
        );
        let mut checker = checker();
        checker.reconcile([&named, &unnamed]);
        until(|| !fit(&unnamed)).await;
        assert!(fit(&named));
    });
}

#[test]
fn a_connection_decides() {
    on_a_core(async {
        let server = Raw::always(Reply::Hang).await;
        let (here, gone) =
            (checked(server.address, &Probe::Tcp, |_| {}), checked(refusing().await, &Probe::Tcp, |_| {}));
        let mut checker = checker();
        checker.reconcile([&here, &gone]);
        until(|| !fit(&gone) && server.connections() > 2).await;
        assert!(fit(&here));
    });
}

#[test]
fn silence_is_failure() {
    on_a_core(async {
        let server = Raw::always(Reply::Hang).await;
        let backend = checked(server.address, &http_probe(&[]), |spec| {
            if let Some(active) = &mut spec.health.active {
                active.timeout = Duration::from_millis(20);
            }
        });
        let mut checker = checker();
        checker.reconcile([&backend]);
        until(|| !fit(&backend)).await;
    });
}

#[test]
fn checks_stop_and_start_with_the_configuration() {
    on_a_core(async {
        let backend = checked(refusing().await, &Probe::Tcp, |_| {});
        let mut checker = checker();
        checker.reconcile([&backend]);
        assert_eq!(checker.len(), 1);
        until(|| !fit(&backend)).await;
        checker.reconcile([&backend]);
        assert!(!fit(&backend), "an unchanged check keeps its verdict");
        checker.reconcile([]);
        assert!(checker.is_empty());
        assert!(fit(&backend), "unchecked is fit");
    });
}

/// Answers health requests with a serving status.
async fn grpc_server(status: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, Bytes::from_static(b"\0\0\0\0\x06\x0a\x04cart"));
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
                let frames = [Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(trailers))];
                Ok::<_, Infallible>(Response::new(StreamBody::new(futures_util::stream::iter(frames))))
            });
            let builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
            let served = builder.serve_connection(TokioIo::new(stream), service);
            spawn_local(async move { served.await.map_err(drop) });
        }
    });
    address
}

#[test]
fn grpc_serving_decides() {
    on_a_core(async {
        let probe = Probe::Grpc { service: "cart".into() };
        let http2 = |spec: &mut model::Backend| spec.protocol = BackendProtocol::Http2;
        let (serving, not) =
            (checked(grpc_server(1).await, &probe, http2), checked(grpc_server(2).await, &probe, http2));
        let mut checker = checker();
        checker.reconcile([&serving, &not]);
        until(|| !fit(&not)).await;
        assert!(fit(&serving));
    });
}
