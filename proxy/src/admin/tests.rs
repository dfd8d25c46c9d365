//! What the administration shows, and whom it refuses.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::StatusCode;
use model::{
    Action, Backend, BackendRef, ClientAuth, Endpoint, EndpointSet, Forward, HttpServer, KeyPair, Listener,
    Match, Origin, Protocol, RouteMatch, RouteTable, Rule, Secret, ServerTls, Snapshot, TlsInner, TlsServer,
    WeightedBackend,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::compiled::BuildContext;
use crate::drain::{BlockReady, DrainSignal};
use crate::telemetry::metrics::SourceLabels;

const CANARY: &str = "-----BEGIN PRIVATE KEY-----canary";

fn snapshot() -> Snapshot {
    let backend_name: model::BackendName = "service/shop/cart/80".into();
    let rule = Rule {
        origin: Origin::new("HTTPRoute", "shop", "<script>alert(1)</script>"),
        index: 0,
        name: None,
        filters: Vec::new(),
        action: Action::Forward(Forward {
            backends: vec![WeightedBackend {
                weight: 1,
                backend: BackendRef::Name(backend_name.clone()),
                filters: Vec::new(),
            }],
            ..Forward::default()
        }),
        set_by: BTreeMap::new(),
    };
    let table = RouteTable {
        hosts: BTreeMap::from([(
            "shop.example".parse().unwrap(),
            vec![RouteMatch { when: Match::default(), rule: 0 }],
        )]),
        rules: vec![rule],
    };
    let server = HttpServer {
        owner: Origin::new("Gateway", "shop", "gw"),
        section: "https".into(),
        port: 443,
        routes: "shop/gw/https".into(),
        filters: Vec::new(),
    };
    let tls = ServerTls {
        svid: None,
        certificates: vec!["shop/cert".into()],
        min_version: Default::default(),
        client_auth: ClientAuth::None,
    };
    let listener = Listener {
        gateway: Origin::new("Gateway", "shop", "gw"),
        addresses: Vec::new(),
        port: 443,
        protocol: Protocol::Tls(BTreeMap::from([(
            "shop.example".parse().unwrap(),
            TlsServer::Terminate { tls, inner: TlsInner::Http(server) },
        )])),
        connection: Default::default(),
    };
    let backend = Backend {
        origin: Origin::new("Service", "shop", "cart"),
        port: 80,
        protocol: Default::default(),
        tls: Default::default(),
        balance: Default::default(),
        health: Default::default(),
        circuit: Default::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: BTreeMap::new(),
    };
    let endpoint = Endpoint {
        reach: model::Reach::AsBackend,
        address: model::Address::Ip([10, 0, 0, 1].into()),
        port: 8080,
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["shop.example".into()]).unwrap().self_signed(&key).unwrap();
    let pair = KeyPair {
        certificate_chain: certificate.pem().into(),
        private_key: Secret::new(key.serialize_pem().into()),
    };
    let canary = KeyPair { certificate_chain: "chain".into(), private_key: Secret::new(CANARY.into()) };
    Snapshot {
        listeners: BTreeMap::from([("shop/gw/443".into(), listener)]),
        routes: BTreeMap::from([("shop/gw/https".into(), Arc::new(table))]),
        backends: BTreeMap::from([(backend_name.clone(), Arc::new(backend))]),
        endpoints: BTreeMap::from([(backend_name, Arc::new(EndpointSet(vec![endpoint])))]),
        secrets: BTreeMap::from([
            ("shop/cert".into(), Arc::new(pair)),
            ("shop/canary".into(), Arc::new(canary)),
        ]),
        ..Snapshot::default()
    }
}

struct Bench {
    address: SocketAddr,
    level: Arc<Mutex<String>>,
    signal: DrainSignal,
    block: Mutex<Option<BlockReady>>,
    compiled: Arc<ArcSwapOption<Compiled>>,
}

async fn bench(surface: Surface) -> Arc<Bench> {
    let (signal, drain) = DrainSignal::new();
    let readiness = Readiness::new(drain);
    let block = readiness.block("no snapshot has been applied");
    let metrics = Metrics::new(1, SourceLabels::default());
    let level = Arc::new(Mutex::new("info".to_owned()));
    let compiled = Arc::new(ArcSwapOption::empty());
    let (get, set) = (level.clone(), level.clone());
    let port = Port::bind("127.0.0.1:0".parse().unwrap(), surface).await.unwrap();
    let address = port.local_address().unwrap();
    let bench = Arc::new(Bench {
        address,
        level,
        signal,
        block: Mutex::new(Some(block)),
        compiled: compiled.clone(),
    });
    let draining = bench.clone();
    let controls = Controls {
        log_level: Arc::new(move || get.lock().unwrap().clone()),
        set_log_level: Arc::new(move |level| {
            if level == "nonsense" {
                return Err("unknown level".to_owned());
            }
            *set.lock().unwrap() = level.to_owned();
            Ok(())
        }),
        drain: Arc::new(move || draining.signal.advance(crate::drain::DrainPhase::Leaving)),
    };
    let identities = Arc::default();
    let overload = Overload::new();
    let admin = Admin { compiled, identities, metrics, overload, readiness, controls };
    tokio::spawn(port.serve(Arc::new(admin)));
    bench
}

impl Bench {
    async fn ask(&self, method: &str, target: &str, headers: &str) -> (StatusCode, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (StatusCode, String) {
        let (status, _, body) = self.ask("GET", target, "host: localhost\r\n").await;
        (status, body)
    }

    async fn json(&self, target: &str) -> Value {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn apply(bench: &Bench) {
    let compiled = Compiled::build(&Arc::new(snapshot()), None, &BuildContext::default()).unwrap();
    bench.compiled.store(Some(Arc::new(compiled)));
    bench.block.lock().unwrap().take();
}

#[tokio::test]
async fn readiness_follows_snapshot_and_drain() {
    let bench = bench(Surface::Health).await;
    let (status, body) = bench.get("/healthz/ready").await;
    assert!(status == 503 && body.contains("no snapshot"), "{body}");
    assert_eq!(bench.get("/healthz/live").await.0, 200);
    apply(&bench);
    assert_eq!(bench.get("/healthz/ready").await.0, 200);
    bench.signal.advance(crate::drain::DrainPhase::Leaving);
    let (status, body) = bench.get("/healthz/ready").await;
    assert!(status == 503 && body.contains("draining"), "{body}");
    // A kubelet asks by the pod's name or address; health shows nothing worth guarding.
    assert_eq!(bench.ask("GET", "/healthz/live", "host: pod.example\r\n").await.0, 200);
    assert_eq!(bench.get("/config_dump").await.0, 404);
}

#[tokio::test]
async fn pages_show_what_is_served() {
    let bench = bench(Surface::Admin).await;
    assert_eq!(bench.get("/routes").await.0, 503);
    apply(&bench);
    let routes = bench.json("/routes").await;
    assert_eq!((&routes[0]["host"], &routes[0]["table"]), (&"shop.example".into(), &"shop/gw/https".into()));
    assert_eq!(routes[0]["action"]["forward"][0]["backend"], "service/shop/cart/80");
    let listeners = bench.json("/listeners").await;
    assert_eq!(listeners[0]["hosts"]["shop.example"]["terminate"]["certificates"][0], "shop/cert");
    let backends = bench.json("/backends").await;
    assert_eq!(
        (&backends[0]["endpoints"], &backends[0]["fit"], &backends[0]["tls"]),
        (&1.into(), &1.into(), &"plain".into())
    );
    let endpoints = bench.json("/endpoints").await;
    assert_eq!(endpoints["service/shop/cart/80"][0]["address"], "10.0.0.1");
    assert_eq!(bench.json("/memory").await["pressure"], "Normal");
    assert!(bench.json("/").await["/config_dump"].is_string());
    let explained = bench.json("/explain?url=https%3A%2F%2Fshop.example%2Fcart&header=x-a:+1").await;
    assert_eq!(explained[0]["listener"]["name"], "shop/gw/443", "{explained}");
    assert!(explained.to_string().contains("service/shop/cart/80"), "{explained}");
    assert_eq!(bench.get("/explain?url=nonsense").await.0, 400);
    let (status, head, body) = bench.ask("GET", "/stats/prometheus", "host: 127.0.0.1\r\n").await;
    assert!(status == 200 && head.contains("openmetrics-text") && body.ends_with("# EOF\n"), "{head}");
}

#[tokio::test]
async fn secrets_appear_nowhere() {
    let bench = bench(Surface::Admin).await;
    apply(&bench);
    let index = bench.json("/").await;
    for path in index.as_object().unwrap().keys() {
        let (_, body) = bench.get(path).await;
        assert!(!body.contains("PRIVATE KEY") && !body.contains("canary-value"), "{path}");
    }
    let (_, dump) = bench.get("/config_dump").await;
    assert!(dump.contains("[redacted]") && dump.contains("BEGIN CERTIFICATE"), "{dump}");
}

#[tokio::test]
async fn level_and_drain_need_post() {
    let bench = bench(Surface::Admin).await;
    let post = |target: &'static str| {
        let bench = bench.clone();
        async move { bench.ask("POST", target, "host: localhost\r\n").await.0 }
    };
    assert_eq!(bench.json("/logging").await["level"], "info");
    assert_eq!(post("/logging?level=proxy%3Ddebug,info").await, 200);
    assert_eq!(*bench.level.lock().unwrap(), "proxy=debug,info");
    assert_eq!(
        (post("/logging").await, post("/logging?level=nonsense").await),
        (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST)
    );
    let (status, head, _) = bench.ask("GET", "/drain", "host: localhost\r\n").await;
    assert!(status == 405 && head.contains("allow: POST"), "{head}");
    assert_eq!(post("/config_dump").await, 405);
    assert_eq!(post("/drain").await, 202);
    assert_eq!(bench.get("/ready").await.0, 503);
}

#[tokio::test]
async fn web_pages_are_kept_out_and_answers_are_inert() {
    let bench = bench(Surface::Admin).await;
    apply(&bench);
    for headers in [
        "host: evil.example\r\n",
        "",
        "host: localhost\r\norigin: http://evil.example\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
    ] {
        assert_eq!(bench.ask("POST", "/drain", headers).await.0, 403, "{headers}");
        assert_eq!(bench.ask("GET", "/config_dump", headers).await.0, 403, "{headers}");
    }
    assert_eq!(bench.get("/ready").await.0, 200);
    let (_, head, body) = bench.ask("GET", "/routes", "host: localhost\r\n").await;
    assert!(body.contains("<script>"), "the name is data");
    for header in ["content-type: application/json", "x-content-type-options: nosniff", "default-src 'none'"]
    {
        assert!(head.contains(header), "{head}");
    }
}
