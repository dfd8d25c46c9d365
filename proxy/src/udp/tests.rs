//! Datagram sessions through real sockets.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use model::{
    Address, Backend, BackendProtocol, BackendRef, Endpoint, EndpointSet, L4Rule, Listener, Origin, Protocol,
    Snapshot, WeightedBackend,
};
use tokio::net::UdpSocket;

use super::*;
use crate::compiled::{BuildContext, Compiled, CompiledProtocol};
use crate::drain::DrainSignal;
use crate::telemetry::access_log::{AccessLog, AccessLogTarget};
use crate::telemetry::metrics::SourceLabels;
use crate::upstream::Resolver;

fn rule(endpoints: &[SocketAddr], idle: Duration) -> Arc<CompiledL4> {
    let name: model::BackendName = "service/shop/dns/53".into();
    let backend = Backend {
        origin: Origin::new("Service", "shop", "dns"),
        port: 53,
        protocol: BackendProtocol::Udp,
        tls: Default::default(),
        balance: Default::default(),
        health: Default::default(),
        circuit: Default::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: BTreeMap::new(),
    };
    let endpoint = |address: &SocketAddr| Endpoint {
        reach: model::Reach::AsBackend,
        address: Address::Ip(address.ip()),
        port: address.port(),
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    };
    let rule = L4Rule {
        origin: Origin::new("UDPRoute", "shop", "dns"),
        backends: vec![WeightedBackend {
            weight: 1,
            backend: BackendRef::Name(name.clone()),
            filters: Vec::new(),
        }],
        idle_timeout: idle,
    };
    let listener = Listener {
        gateway: Origin::new("Gateway", "shop", "gw"),
        addresses: Vec::new(),
        port: 53,
        protocol: Protocol::Udp(Some(rule)),
        connection: Default::default(),
    };
    let set = EndpointSet(endpoints.iter().map(endpoint).collect());
    let snapshot = Snapshot {
        listeners: BTreeMap::from([("shop/gw/53/udp".into(), listener)]),
        backends: BTreeMap::from([(name.clone(), Arc::new(backend))]),
        endpoints: BTreeMap::from([(name, Arc::new(set))]),
        ..Snapshot::default()
    };
    let compiled = Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap();
    let listener = compiled.listeners.values().next().unwrap();
    let CompiledProtocol::Udp(Some(rule)) = &listener.protocol else { panic!("no rule") };
    rule.clone()
}

struct Bench {
    directory: tempfile::TempDir,
    access_log: AccessLog,
    log: CoreLog,
    metrics: Arc<Metrics>,
    listener: Arc<ListenerMetrics>,
    overload: Arc<Overload>,
    gate: Arc<ListenerGate>,
    upstreams: Upstreams<Full<Bytes>>,
    signal: DrainSignal,
    drain: DrainWatch,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let access_log = AccessLog::start(AccessLogTarget::File(directory.path().join("log")), 1).unwrap();
        let metrics = Metrics::new(1, SourceLabels::default());
        let (signal, drain) = DrainSignal::new();
        Self {
            log: access_log.core(0),
            access_log,
            directory,
            listener: metrics.listener(&"shop/gw/53/udp".into()),
            metrics,
            overload: Overload::new(),
            gate: Arc::default(),
            upstreams: Upstreams::new(Arc::new(Resolver::system(tokio::runtime::Handle::current()))),
            signal,
            drain,
        }
    }

    /// Runs a port while `script` plays clients; then drains it.
    async fn serve<F: Future>(
        &self,
        bind: &str,
        rule: Option<Arc<CompiledL4>>,
        max_sessions: usize,
        script: impl FnOnce(SocketAddr) -> F,
    ) -> F::Output {
        let socket = std::net::UdpSocket::bind(bind).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = DatagramSocket::new(socket).unwrap();
        let address = socket.local_address();
        let tools = Tools {
            upstreams: &self.upstreams,
            log: &self.log,
            metrics: &self.metrics,
            listener: &self.listener,
            overload: &self.overload,
            gate: &self.gate,
            drain: self.drain.clone(),
            max_sessions,
        };
        let script = async {
            let output = script(address).await;
            self.signal.advance(DrainPhase::Forced);
            output
        };
        let (served, output) =
            tokio::join!(serve(&socket, || Present { rule: rule.clone(), limit: 0 }, tools), script);
        served.unwrap();
        output
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        self.access_log.flush(Duration::from_secs(10));
        let text = fs::read_to_string(self.directory.path().join("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn dropped(&self, reason: UdpDrop) -> bool {
        let needle = format!("reason=\"{}\"}} 0", reason.as_str());
        let text = self.metrics.encode();
        let line = text
            .lines()
            .find(|line| {
                line.starts_with("diolkos_listener_udp_datagrams_dropped_total{")
                    && line.contains(&format!("reason=\"{}\"", reason.as_str()))
            })
            .unwrap();
        !line.ends_with(&needle)
    }
}

/// Answers `NAME DATAGRAM from PORT`, where the port is that of the proxy's session socket.
async fn endpoint(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let answer = format!("{name} {text} from {}", from.port());
            let _ = socket.send_to(answer.as_bytes(), from).await;
        }
    });
    address
}

async fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn ask(client: &UdpSocket, question: &str) -> String {
    client.send(question.as_bytes()).await.unwrap();
    hear(client).await
}

async fn hear(client: &UdpSocket) -> String {
    let mut bytes = [0; 2048];
    let length =
        tokio::time::timeout(Duration::from_secs(20), client.recv(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_client_has_its_own_session_that_is_kept() {
    let bench = Bench::new();
    let rule = rule(&[endpoint("a").await], MINUTE);
    bench
        .serve("127.0.0.1:0", Some(rule), 16, |port| async move {
            let (first, second) = (client(port).await, client(port).await);
            let answer = ask(&first, "x").await;
            let session = answer.strip_prefix("a x from ").unwrap().to_owned();
            let other = ask(&second, "y").await.strip_prefix("a y from ").unwrap().to_owned();
            assert_ne!(session, other);
            for _ in 0..3 {
                assert_eq!(ask(&first, "x").await, format!("a x from {session}"));
            }
        })
        .await;
    let mut lines = bench.lines();
    lines.sort_by_key(|line| line["bytes_received"].as_u64());
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[1]["bytes_received"].as_u64(), lines[1]["route_name"].as_str()),
        (Some(4), Some("shop/dns"))
    );
    assert_eq!(bench.overload.connections(), 0, "permits are given back");
    assert_eq!(bench.listener.sessions.value(), 0);
}

#[tokio::test]
async fn reply_comes_from_the_address_that_was_asked() {
    let bench = Bench::new();
    let rule = rule(&[endpoint("a").await], MINUTE);
    bench
        .serve("0.0.0.0:0", Some(rule), 16, |port| async move {
            // A connected socket hears only the address that it is connected to.
            for host in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 9, 9]] {
                let client = client((host, port.port()).into()).await;
                assert!(ask(&client, "x").await.starts_with("a x from"));
            }
        })
        .await;
    let locals: Vec<_> =
        bench.lines().iter().map(|line| line["downstream_local_address"].to_string()).collect();
    assert!(locals.iter().any(|local| local.contains("127.9.9.9:")), "{locals:?}");
}

#[tokio::test]
async fn silent_session_ends() {
    let bench = Bench::new();
    let rule = rule(&[endpoint("a").await], Duration::from_millis(50));
    bench
        .serve("127.0.0.1:0", Some(rule), 16, |port| {
            let listener = bench.listener.clone();
            async move {
                let client = client(port).await;
                ask(&client, "x").await;
                while listener.sessions.value() > 0 {
                    tokio::task::yield_now().await;
                }
                assert!(ask(&client, "y").await.starts_with("a y from"));
            }
        })
        .await;
    let lines = bench.lines();
    assert_eq!(lines[0]["connection_termination_details"], "idle_timeout");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn full_table_evicts_the_session_that_was_silent_longest() {
    let bench = Bench::new();
    let rule = rule(&[endpoint("a").await], MINUTE);
    bench
        .serve("127.0.0.1:0", Some(rule), 2, |port| async move {
            let clients = [client(port).await, client(port).await, client(port).await];
            let first = ask(&clients[0], "x").await;
            let second = ask(&clients[1], "x").await;
            assert_eq!(ask(&clients[0], "x").await, first);
            ask(&clients[2], "x").await;
            assert_eq!(ask(&clients[0], "x").await, first, "kept");
            assert_ne!(ask(&clients[1], "x").await, second, "evicted, so another session");
        })
        .await;
    let evicted = bench
        .lines()
        .iter()
        .filter(|line| line["connection_termination_details"] == "session_evicted")
        .count();
    assert_eq!(evicted, 2);
}

#[tokio::test]
async fn endpoint_that_went_away_is_left() {
    let bench = Bench::new();
    let alive = endpoint("alive").await;
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rule = rule(&[dead, alive], MINUTE);
    bench
        .serve("127.0.0.1:0", Some(rule), 16, |port| async move {
            for _ in 0..4 {
                let client = client(port).await;
                // The first datagram may be lost to the dead endpoint; the session must not stay there.
                let mut answer = None;
                while answer.is_none() {
                    client.send(b"x").await.unwrap();
                    let mut bytes = [0; 64];
                    let heard =
                        tokio::time::timeout(Duration::from_millis(100), client.recv(&mut bytes)).await;
                    answer = heard.ok().map(|length| bytes[..length.unwrap()].to_vec());
                }
                assert!(answer.unwrap().starts_with(b"alive x from"));
            }
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_served_is_counted_by_reason() {
    for (rule, reason) in [(None, UdpDrop::NoRoute), (Some(rule(&[], MINUTE)), UdpDrop::NoEndpoint)] {
        let bench = Bench::new();
        let bench = &bench;
        bench
            .serve("127.0.0.1:0", rule, 16, |port| async move {
                client(port).await.send(b"x").await.unwrap();
                while !bench.dropped(reason) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
    }
}

#[tokio::test]
async fn draining_keeps_sessions_but_begins_none() {
    let bench = Bench::new();
    let rule = rule(&[endpoint("a").await], MINUTE);
    let bench = &bench;
    bench
        .serve("127.0.0.1:0", Some(rule), 16, |port| async move {
            let (old, new) = (client(port).await, client(port).await);
            let answer = ask(&old, "x").await;
            bench.signal.advance(DrainPhase::Draining);
            new.send(b"y").await.unwrap();
            while !bench.dropped(UdpDrop::Shed) {
                tokio::task::yield_now().await;
            }
            assert_eq!(ask(&old, "x").await, answer);
        })
        .await;
}
