//! Opaque connections through real sockets.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use model::{
    Address, Backend, BackendName, BackendProtocol, BackendRef, Endpoint, EndpointSet, L4Rule, Listener,
    Origin, Protocol, Snapshot, WeightedBackend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::compiled::{BuildContext, Compiled, CompiledProtocol};
use crate::drain::{DrainPhase, DrainSignal};
use crate::telemetry::access_log::{AccessLog, AccessLogTarget};
use crate::telemetry::metrics::SourceLabels;
use crate::upstream::Resolver;

/// A rule over backends of one weight each; a backend is a list of endpoints.
fn rule(backends: &[&[SocketAddr]]) -> Arc<CompiledL4> {
    let names: Vec<BackendName> =
        (0..backends.len()).map(|n| format!("service/shop/b{n}/1").into()).collect();
    let refs = names.iter().map(|name| BackendRef::Name(name.clone()));
    compile(backends, &names, refs.collect())
}

fn compile(backends: &[&[SocketAddr]], names: &[BackendName], refs: Vec<BackendRef>) -> Arc<CompiledL4> {
    let backend = |name: &BackendName| Backend {
        origin: Origin::new("Service", "shop", name.as_str()),
        port: 1,
        protocol: BackendProtocol::Tcp,
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
        origin: Origin::new("TCPRoute", "shop", "db"),
        backends: refs
            .into_iter()
            .map(|backend| WeightedBackend { weight: 1, backend, filters: Vec::new() })
            .collect(),
        idle_timeout: Duration::from_secs(60),
    };
    let listener = Listener {
        gateway: Origin::new("Gateway", "shop", "gw"),
        addresses: Vec::new(),
        port: 5432,
        protocol: Protocol::Tcp(Some(rule)),
        connection: Default::default(),
    };
    let snapshot = Snapshot {
        listeners: BTreeMap::from([("shop/gw/5432".into(), listener)]),
        backends: names.iter().map(|name| (name.clone(), Arc::new(backend(name)))).collect(),
        endpoints: names
            .iter()
            .zip(backends)
            .map(|(name, set)| (name.clone(), Arc::new(EndpointSet(set.iter().map(endpoint).collect()))))
            .collect(),
        ..Snapshot::default()
    };
    let compiled = Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap();
    let listener = compiled.listeners.values().next().unwrap();
    let CompiledProtocol::Tcp(Some(rule)) = &listener.protocol else { panic!("no rule") };
    rule.clone()
}

/// A core with a log that can be read.
struct Bench {
    directory: tempfile::TempDir,
    access_log: AccessLog,
    log: CoreLog,
    metrics: Arc<Metrics>,
    upstreams: Upstreams<Full<Bytes>>,
    signal: DrainSignal,
    drain: DrainWatch,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let target = AccessLogTarget::File(directory.path().join("log"));
        let access_log = AccessLog::start(target, 1).unwrap();
        let (signal, drain) = DrainSignal::new();
        Self {
            log: access_log.core(0),
            access_log,
            directory,
            metrics: Metrics::new(1, SourceLabels::default()),
            upstreams: Upstreams::new(Arc::new(Resolver::system(tokio::runtime::Handle::current()))),
            signal,
            drain,
        }
    }

    /// Serves one connection while `script` plays the client.
    async fn serve<F: Future>(
        &self,
        rule: Option<&Arc<CompiledL4>>,
        script: impl FnOnce(TcpStream) -> F,
    ) -> F::Output {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, remote) = listener.accept().await.unwrap();
        let local = stream.local_addr().unwrap();
        let client_side = Client { stream, remote, local, server_name: None, spiffe_id: None, tie: None };
        let tools = Tools {
            upstreams: &self.upstreams,
            log: &self.log,
            metrics: &self.metrics,
            drain: self.drain.clone(),
        };
        let output =
            async { tokio::join!(serve(client_side, rule, tools, |_| false, |_| false), script(client)).1 };
        LocalSet::new().run_until(output).await
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        self.access_log.flush(Duration::from_secs(10));
        let text = fs::read_to_string(self.directory.path().join("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An endpoint that says its name, then echoes, until the client closes.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(name.as_bytes()).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn talk(mut client: TcpStream) -> String {
    client.write_all(b" hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connections_go_to_backends_by_weight_and_half_close_is_kept() {
    let bench = Bench::new();
    let (a, b) = (echo("a").await, echo("b").await);
    let rule = rule(&[&[a], &[b]]);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(bench.serve(Some(&rule), talk).await);
    }
    answers.sort();
    assert_eq!(answers, ["a hello", "a hello", "b hello", "b hello"]);
    let lines = bench.lines();
    assert_eq!(lines.len(), 4);
    let line = &lines[0];
    assert_eq!((line["route_name"].as_str(), line["response_flags"].as_str()), (Some("shop/db"), Some("-")));
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(6), Some(7)));
    assert_eq!(line["response_code"], 0);
    assert!(line["upstream_local_address"].is_string() && line["method"].is_null(), "{line}");
    let text = bench.metrics.encode();
    let opened: u64 = text
        .lines()
        .filter(|line| line.starts_with("istio_tcp_connections_opened_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(opened, 4);
}

#[tokio::test]
async fn dead_endpoint_is_passed_over() {
    let bench = Bench::new();
    let (dead, alive) = (nobody().await, echo("alive").await);
    let rule = rule(&[&[dead, alive]]);
    for _ in 0..8 {
        assert_eq!(bench.serve(Some(&rule), talk).await, "alive hello");
    }
    assert!(bench.lines().iter().all(|line| line["response_flags"] == "-"));
}

#[tokio::test]
async fn failures_reset_the_client_and_say_why() {
    let bench = Bench::new();
    let dead = nobody().await;
    let invalid = BackendRef::Invalid { reason: "Service shop/gone does not exist".into(), status: 500 };
    let end = |mut client: TcpStream| async move {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.map_err(|error| error.kind())
    };
    for (rule, flags, failure) in [
        (Some(rule(&[&[dead]])), "UF,URX", "connection refused"),
        (Some(rule(&[&[]])), "UH", "no healthy endpoint"),
        (Some(rule(&[])), "NC", "the route has no backend"),
        (Some(compile(&[], &[], vec![invalid])), "NC", "Service shop/gone does not exist"),
        (None, "NR", ""),
    ] {
        let result = bench.serve(rule.as_ref(), end).await;
        assert_eq!(result, Err(std::io::ErrorKind::ConnectionReset), "{flags}");
        let line = bench.lines().pop().unwrap();
        assert_eq!(line["response_flags"], flags, "{line}");
        let told = line["upstream_transport_failure_reason"].as_str().unwrap_or_default();
        assert!(told.starts_with(failure), "{line}");
    }
}

#[tokio::test]
async fn reset_by_the_endpoint_reaches_the_client() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rule = rule(&[&[listener.local_addr().unwrap()]]);
    let endpoint = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"half an ans").await.unwrap();
        stream.read_u8().await.unwrap();
        stream.abort();
    };
    let client = |mut client: TcpStream| async move {
        let mut part = [0; 11];
        client.read_exact(&mut part).await.unwrap();
        client.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap_err().kind()
    };
    let (kind, ()) = tokio::join!(bench.serve(Some(&rule), client), endpoint);
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
    let line = bench.lines().pop().unwrap();
    assert_eq!(line["response_flags"], "UC", "{line}");
    assert_eq!(line["bytes_sent"], 11);
}

#[tokio::test]
async fn reset_by_the_client_reaches_the_endpoint() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rule = rule(&[&[listener.local_addr().unwrap()]]);
    let endpoint = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(b"go").await.unwrap();
        stream.read_u8().await.unwrap_err().kind()
    };
    let client = |mut client: TcpStream| async move {
        client.write_all(b"x").await.unwrap();
        let mut go = [0; 2];
        client.read_exact(&mut go).await.unwrap();
        client.abort();
    };
    let ((), kind) = tokio::join!(bench.serve(Some(&rule), client), endpoint);
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
    let line = bench.lines().pop().unwrap();
    assert_eq!(line["response_flags"], "DC", "{line}");
}

#[tokio::test]
async fn end_of_a_drain_cuts() {
    let bench = Bench::new();
    let rule = rule(&[&[echo("a").await]]);
    let signal = &bench.signal;
    bench
        .serve(Some(&rule), |mut client| async move {
            assert_eq!(client.read_u8().await.unwrap(), b'a');
            signal.advance(DrainPhase::Forced);
            assert_eq!(client.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        })
        .await;
}
