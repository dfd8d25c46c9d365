//! What the proxy tells about itself, wired: surfaces, health checks, traces, datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use model::*;
use proxy::settings::Settings;
use tokio::net::{TcpStream, UdpSocket};

use crate::support::*;

async fn ask(address: SocketAddr, path: &str) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get(path).header("host", address.to_string()).body(Full::<Bytes>::default()).unwrap();
    Answer::read(soon(sender.send_request(request)).await.unwrap()).await
}

#[tokio::test]
async fn the_surfaces_answer() {
    let backend = Server::named("hello").await;
    let free = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings { admin: free, health: free, metrics: free, ..Settings::default() };
    let gateway = Gateway::start_with(Plan::to(&backend), settings).await;
    assert_eq!(gateway.get("/").await.status, 200);
    let surfaces = gateway.proxy.as_ref().unwrap().surfaces();
    assert_eq!(ask(surfaces.health.unwrap(), "/healthz/ready").await.status, 200);
    let metrics = ask(surfaces.metrics.unwrap(), "/stats/prometheus").await;
    assert!(metrics.text().contains("istio_requests_total{"), "{}", metrics.text());
    let dump = ask(surfaces.admin.unwrap(), "/config_dump").await;
    assert!(dump.text().contains("\"ns/gw\"") || dump.text().contains("\"gateway\""), "{}", dump.text());
    gateway.proxy.as_ref().unwrap().drain();
    soon(async { while ask(surfaces.health.unwrap(), "/healthz/ready").await.status == 200 {} }).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_is_left_out() {
    let sick = Server::start(|seen| async move {
        let mut response = Response::new(Full::from("sick"));
        if seen.uri.path() == "/healthz" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await;
    let well = Server::named("well").await;
    let plan = Plan::new()
        .backend_with("b", &[sick.address, well.address], |backend| {
            backend.health.active = Some(ActiveHealth {
                probe: Probe::Http { path: "/healthz".into(), host: "".into(), statuses: vec![] },
                interval: Duration::from_millis(20),
                timeout: Duration::from_secs(1),
                healthy_threshold: 1,
                unhealthy_threshold: 1,
            });
        })
        .rule(forward("b"));
    let gateway = Gateway::start(plan).await;
    soon(async {
        let mut well = 0;
        while well < 6 {
            well = if gateway.get("/").await.text() == "well" { well + 1 } else { 0 };
        }
    })
    .await;
}

#[tokio::test]
async fn a_trace_is_passed_on() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request =
        Request::get("/").header("host", "a").header("traceparent", trace).header("tracestate", "a=b");
    gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(backend.last().header("traceparent"), trace);
    assert_eq!(backend.last().header("tracestate"), "a=b");
}

#[tokio::test]
async fn datagrams_go_there_and_back() {
    let echo = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = echo.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 64];
        loop {
            let (count, from) = echo.recv_from(&mut bytes).await.unwrap();
            echo.send_to(&bytes[..count], from).await.unwrap();
        }
    });
    let mut plan =
        Plan::new().backend_with("b", &[address], |backend| backend.protocol = BackendProtocol::Udp);
    plan.0.listeners.get_mut("l").unwrap().protocol = Protocol::Udp(Some(L4Rule {
        origin: Origin::new("UDPRoute", "ns", "r"),
        backends: vec![weighted("b", 1)],
        idle_timeout: LONG,
    }));
    let gateway = Gateway::start(plan).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(gateway.address).await.unwrap();
    for word in ["one", "two"] {
        client.send(word.as_bytes()).await.unwrap();
        let mut bytes = [0; 64];
        let count = soon(client.recv(&mut bytes)).await.unwrap();
        assert_eq!(&bytes[..count], word.as_bytes());
    }
}
