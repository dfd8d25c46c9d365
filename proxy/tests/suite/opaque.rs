//! Opaque traffic and administration through the whole proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::*;
use proxy::app::{Applied, Proxy};
use proxy::settings::Settings;
use proxy::telemetry::access_log::AccessLogTarget;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use crate::support::*;

/// Answers every datagram with itself.
async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let _ = socket.send_to(&bytes[..length], from).await;
        }
    });
    address
}

/// Answers every connection with what it read, after its end.
async fn tcp_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            });
        }
    });
    address
}

/// Listeners `tcp`, `udp` and `tls` over one backend each.
fn snapshot(tcp: SocketAddr, udp: SocketAddr) -> Snapshot {
    let rule = |backend: &str| L4Rule {
        origin: Origin::new("TCPRoute", "shop", backend),
        backends: vec![WeightedBackend {
            weight: 1,
            backend: BackendRef::Name(backend.into()),
            filters: Vec::new(),
        }],
        idle_timeout: Duration::from_secs(60),
    };
    let listener = |protocol| Listener {
        gateway: Origin::new("Gateway", "shop", "gw"),
        addresses: Vec::new(),
        port: 0,
        protocol,
        connection: ConnectionPolicy::default(),
    };
    let passthrough = TlsServer::Passthrough(BTreeMap::from([(HostPattern::Any, rule("tcp"))]));
    let backend = |name: &str, protocol| {
        let backend = Backend {
            origin: Origin::new("Service", "shop", name),
            port: 1,
            protocol,
            tls: UpstreamTls::Plain,
            balance: Balance::default(),
            health: Health::default(),
            circuit: Circuit::default(),
            connection: UpstreamConnection::default(),
            retry_budget: None,
            session: None,
            set_by: BTreeMap::new(),
        };
        (BackendName::from(name), Arc::new(backend))
    };
    let endpoints = |name: &str, at: SocketAddr| {
        let endpoint = Endpoint {
            reach: model::Reach::AsBackend,
            address: Address::Ip(at.ip()),
            port: at.port(),
            weight: 1,
            zone: "".into(),
            draining: false,
            workload: "".into(),
        };
        (BackendName::from(name), Arc::new(EndpointSet(vec![endpoint])))
    };
    Snapshot {
        listeners: BTreeMap::from([
            ("tcp".into(), listener(Protocol::Tcp(Some(rule("tcp"))))),
            ("udp".into(), listener(Protocol::Udp(Some(rule("udp"))))),
            ("tls".into(), listener(Protocol::Tls(BTreeMap::from([(HostPattern::Any, passthrough)])))),
        ]),
        backends: BTreeMap::from([
            backend("tcp", BackendProtocol::Tcp),
            backend("udp", BackendProtocol::Udp),
        ]),
        endpoints: BTreeMap::from([endpoints("tcp", tcp), endpoints("udp", udp)]),
        ..Snapshot::default()
    }
}

fn free() -> Option<SocketAddr> {
    Some("127.0.0.1:0".parse().unwrap())
}

struct Running {
    proxy: Proxy,
    snapshots: watch::Sender<Arc<Snapshot>>,
    applied: Applied,
}

async fn start(snapshot: Snapshot, log: AccessLogTarget) -> Running {
    let settings = Settings {
        workers: 2,
        admin: free(),
        health: free(),
        metrics: free(),
        access_log: log,
        drain_delay: Duration::ZERO,
        drain_deadline: Duration::from_millis(100),
        ..Settings::default()
    };
    let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
    let proxy = Proxy::start(settings, receiver).unwrap();
    let mut applied = proxy.applied();
    let applied = soon(applied.wait_for(|applied| applied.generation == 1)).await.unwrap().clone();
    assert_eq!(applied.error, None);
    Running { proxy, snapshots, applied }
}

impl Running {
    fn address(&self, listener: &str) -> SocketAddr {
        self.applied.listeners[listener].as_ref().unwrap()[0]
    }
}

async fn get(address: Option<SocketAddr>, target: &str) -> String {
    let mut stream = TcpStream::connect(address.unwrap()).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn ask(client: &UdpSocket, question: &[u8]) -> Vec<u8> {
    client.send(question).await.unwrap();
    let mut bytes = [0; 2048];
    let length = soon(client.recv(&mut bytes)).await.unwrap();
    bytes[..length].to_vec()
}

async fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

/// The ClientHello of a client that asks for `a.example`.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "a.example".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn tcp_tls_and_udp_pass_through_and_are_logged_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let running =
        start(snapshot(tcp_echo().await, udp_echo().await), AccessLogTarget::File(path.clone())).await;
    assert_eq!(talk(running.address("tcp"), b"some bytes").await, b"some bytes");
    let hello = hello();
    assert_eq!(talk(running.address("tls"), &hello).await, hello);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(running.address("udp")).await.unwrap();
    assert_eq!(ask(&client, b"one").await, b"one");
    assert_eq!(ask(&client, b"two").await, b"two");

    let metrics = get(running.proxy.surfaces().metrics, "/stats/prometheus").await;
    assert!(metrics.contains("diolkos_listener_udp_sessions_active{listener=\"udp\"} 1\n"), "{metrics}");
    assert!(metrics.contains("diolkos_listener_tls_passthrough_total{listener=\"tls\"} 1\n"), "{metrics}");
    let proxy = running.proxy;
    soon(tokio::task::spawn_blocking(move || proxy.shutdown())).await.unwrap();

    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |route: &str| -> Vec<_> { lines.iter().filter(|line| line["route_name"] == route).collect() };
    let (tcp, udp) = (of("shop/tcp"), of("shop/udp"));
    assert_eq!((tcp.len(), udp.len()), (2, 1), "{text}");
    // Workers write in any order.
    let named = |name: &str| tcp.iter().find(|line| line["requested_server_name"].as_str() == Some(name));
    let unnamed = tcp.iter().find(|line| line["requested_server_name"].is_null()).unwrap();
    assert_eq!((&unnamed["bytes_received"], &unnamed["response_flags"]), (&10.into(), &"-".into()));
    assert!(named("a.example").is_some(), "{text}");
    assert_eq!((&udp[0]["bytes_received"], &udp[0]["bytes_sent"]), (&6.into(), &6.into()), "{text}");
    assert_eq!(udp[0]["connection_termination_details"], "drain_deadline");
}

#[tokio::test]
async fn refused_handshakes_are_logged_and_probes_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut snapshot = snapshot(tcp_echo().await, udp_echo().await);
    let closed = TlsServer::Closed { reason: "Secret shop/gone does not exist".into() };
    let servers = BTreeMap::from([("a.example".parse().unwrap(), closed)]);
    snapshot.listeners.get_mut("tls").unwrap().protocol = Protocol::Tls(servers);
    let running = start(snapshot, AccessLogTarget::File(path.clone())).await;
    assert!(talk(running.address("tls"), b"").await.is_empty());
    // An alert: internal_error.
    assert_eq!(talk(running.address("tls"), &hello()).await, [0x15, 3, 3, 0, 2, 2, 80]);
    let proxy = running.proxy;
    soon(tokio::task::spawn_blocking(move || proxy.shutdown())).await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).expect("one line");
    assert_eq!(
        (&line["response_flags"], &line["requested_server_name"]),
        (&"NC".into(), &"a.example".into())
    );
    assert_eq!(line["upstream_transport_failure_reason"], "Secret shop/gone does not exist");
}

#[tokio::test]
async fn removed_datagram_listener_is_gone_and_can_come_back() {
    let udp = udp_echo().await;
    let running = start(snapshot(tcp_echo().await, udp), AccessLogTarget::Off).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(running.address("udp")).await.unwrap();
    assert_eq!(ask(&client, b"x").await, b"x");
    let mut without = snapshot(tcp_echo().await, udp);
    without.listeners.remove("udp");
    let mut applied = running.proxy.applied();
    running.snapshots.send_replace(Arc::new(without));
    soon(applied.wait_for(|applied| applied.generation == 2)).await.unwrap();
    // Refused, not swallowed: nobody holds the port any more.
    soon(async {
        loop {
            let mut bytes = [0; 16];
            if client.send(b"x").await.is_err() {
                break;
            }
            let heard = tokio::time::timeout(Duration::from_millis(50), client.recv(&mut bytes)).await;
            if matches!(heard, Ok(Err(_))) {
                break;
            }
        }
    })
    .await;
    running.snapshots.send_replace(Arc::new(snapshot(tcp_echo().await, udp)));
    let again = soon(applied.wait_for(|applied| applied.generation == 3)).await.unwrap().clone();
    let address = again.listeners["udp"].as_ref().unwrap()[0];
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    assert_eq!(ask(&client, b"y").await, b"y");
}

#[tokio::test]
async fn surfaces_follow_the_proxy() {
    let running = start(snapshot(tcp_echo().await, udp_echo().await), AccessLogTarget::Off).await;
    let surfaces = running.proxy.surfaces();
    assert!(get(surfaces.health, "/healthz/ready").await.starts_with("HTTP/1.1 200 "));
    let listeners = get(surfaces.admin, "/listeners").await;
    assert!(listeners.contains("\"passthrough\""), "{listeners}");
    assert!(get(surfaces.admin, "/logging").await.starts_with("HTTP/1.1 200 "));
    assert!(get(surfaces.metrics, "/config_dump").await.starts_with("HTTP/1.1 404 "));
    let metrics = get(surfaces.metrics, "/metrics").await;
    assert!(metrics.contains("diolkos_snapshot_generation 1\n"), "{metrics}");
}

#[tokio::test]
async fn readiness_fails_first_while_everything_is_still_served() {
    let settings = Settings {
        workers: 1,
        admin: free(),
        health: free(),
        metrics: None,
        drain_delay: LONG,
        drain_deadline: LONG,
        ..Settings::default()
    };
    let (_snapshots, receiver) = watch::channel(Arc::new(snapshot(tcp_echo().await, udp_echo().await)));
    let proxy = Proxy::start(settings, receiver).unwrap();
    let mut applied = proxy.applied();
    let now = soon(applied.wait_for(|applied| applied.generation == 1)).await.unwrap().clone();
    proxy.drain();
    soon(async {
        while !get(proxy.surfaces().health, "/healthz/ready").await.starts_with("HTTP/1.1 503 ") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let address = now.listeners["tcp"].as_ref().unwrap()[0];
    assert_eq!(talk(address, b"still here").await, b"still here");
}
