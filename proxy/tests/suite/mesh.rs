//! The mesh through the whole proxy: who is let in, who is dialled, and what becomes of connections as trust goes on.

mod clients;
mod endpoints;
mod life;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::testing::{TestCa, bundles_of};
use identity::{
    ClientAlpn, Clock, Hand, Identity, MeshAlpn, MeshClient, MeshServer, Publisher, TrustBundles,
    mesh_client_config, mesh_server_config,
};
use model::*;
use proxy::settings::{Settings, StartIdentity, WorkingSource};
use proxy::telemetry::access_log::AccessLogTarget;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::*;

/// The gateway itself.
pub const OWN: &str = "spiffe://cluster.local/ns/edge/sa/gw";
/// A workload.
pub const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
/// Another one.
pub const REPORTS: &str = "spiffe://cluster.local/ns/vm/sa/reports";

/// A CA, and what the proxy's identity `mesh` is given.
pub struct World {
    pub ca: TestCa,
    pub hand: Hand,
    pub start: SystemTime,
    given: Arc<Mutex<Given>>,
}

struct Given {
    /// What an identity that is started gets at once; none: it has to wait.
    first: Option<(identity::X509Svid, TrustBundles)>,
    publishers: Vec<Publisher>,
    /// Other trust domains, as sources that went on were told.
    updates: Vec<Vec<String>>,
}

/// Writes down what it is told.
struct Told(Arc<Mutex<Given>>);

impl WorkingSource for Told {
    fn update(&self, context: identity::SourceContext) {
        let domains = context.federated.keys().map(ToString::to_string).collect();
        self.0.lock().unwrap().updates.push(domains);
    }
}

impl World {
    pub fn new() -> (Self, Settings) {
        let ca = TestCa::new("cluster.local");
        let start = SystemTime::now();
        let (clock, hand) = Clock::by_hand(start);
        let first = Some((ca.issue(OWN), ca.bundles()));
        let given = Arc::new(Mutex::new(Given { first, publishers: Vec::new(), updates: Vec::new() }));
        let settings = settings(clock, &given);
        (Self { ca, hand, start, given }, settings)
    }

    /// Identities that are started from now on get nothing by themselves.
    pub fn hold_back(&self) {
        self.given.lock().unwrap().first = None;
    }

    /// Identities that were started.
    pub fn started(&self) -> usize {
        self.given.lock().unwrap().publishers.len()
    }

    /// Waits until sources that went on were told of exactly these trust domains, one entry a time. They are told a
    /// moment after the snapshot is served.
    pub async fn told(&self, expected: &[&[&str]]) {
        soon(async {
            while self.given.lock().unwrap().updates != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Gives the identity that was started last new material.
    pub fn publish(&self, svid: identity::X509Svid, bundles: TrustBundles) {
        let given = self.given.lock().unwrap();
        given.publishers.last().expect("an identity runs").publish(svid, bundles, Vec::new()).unwrap();
    }

    /// A workload that this CA vouches for.
    pub fn workload(&self, id: &str) -> Identity {
        self.ca.identity(id)
    }
}

fn settings(clock: Clock, given: &Arc<Mutex<Given>>) -> Settings {
    let given = given.clone();
    let start = StartIdentity(Arc::new(move |name, spec, _| {
        let told = Told(given.clone());
        let (identity, publisher) = Identity::new(name.as_str(), spec.profile, clock.clone());
        let mut given = given.lock().unwrap();
        if let Some((svid, bundles)) = given.first.clone() {
            publisher.publish(svid, bundles, Vec::new()).unwrap();
        }
        given.publishers.push(publisher);
        drop(given);
        (identity, Box::new(told))
    }));
    Settings { start_identity: start, ..Settings::default() }
}

/// A workload of a CA, judging others by bundles of its own.
pub fn stranger(svid: identity::X509Svid, bundles: TrustBundles, clock: Clock) -> Identity {
    let (identity, publisher) = Identity::new("stranger", PeerProfile::SpiffeStrict, clock);
    publisher.publish(svid, bundles, Vec::new()).unwrap();
    identity
}

/// The bundles of several CAs of one trust domain.
pub fn together(authorities: &[&TestCa]) -> TrustBundles {
    let x509 = authorities.iter().map(|ca| ca.root().clone()).collect();
    let bundle = identity::TrustBundle { x509, ..Default::default() };
    TrustBundles::of(authorities[0].trust_domain().clone(), bundle)
}

/// Adds the identity `mesh`.
pub fn with_identity(mut plan: Plan) -> Plan {
    let identity = GatewayIdentity {
        trust_domain: "cluster.local".into(),
        spiffe_id: Some(OWN.into()),
        profile: PeerProfile::SpiffeStrict,
        source: IdentitySource::BuiltIn { ttl: LONG },
    };
    plan.0.identities.insert("mesh".into(), Arc::new(identity));
    plan
}

/// The listener takes mesh peers of namespace `shop`.
pub fn taking(mode: MeshMode, plan: Plan) -> Plan {
    with_identity(plan).connection(|policy| policy.mesh = Some(clients(mode)))
}

pub fn clients(mode: MeshMode) -> MeshClients {
    let shop = PeerMatch::Namespace { trust_domain: "cluster.local".into(), namespace: "shop".into() };
    MeshClients { identity: "mesh".into(), mode, peers: vec![shop] }
}

/// The backend's endpoints are meshed: they must be `ids`.
pub fn meshed(plan: Plan, backend: &str, wire: MeshWire, ids: &[&str]) -> Plan {
    reached(
        plan,
        backend,
        Reach::Mesh(Arc::new(MeshPeer {
            wire,
            identity: "mesh".into(),
            server_name: Some("outbound_.80_._.cart.shop.svc.cluster.local".into()),
            ids: ids.iter().map(|id| (*id).into()).collect(),
        })),
    )
}

pub fn reached(plan: Plan, backend: &str, reach: Reach) -> Plan {
    let mut plan = with_identity(plan);
    let endpoints = plan.0.endpoints.get_mut(backend).unwrap();
    for endpoint in &mut Arc::make_mut(endpoints).0 {
        endpoint.reach = reach.clone();
    }
    plan
}

/// Dials the gateway as a workload.
pub async fn dial(
    address: SocketAddr,
    identity: &Identity,
    wire: MeshWire,
    alpn: ClientAlpn,
) -> std::io::Result<TlsStream<TcpStream>> {
    let ids = [OWN.into()];
    let config = mesh_client_config(MeshClient { identity, ids: &ids, server_name: None, wire, alpn });
    let config = config.unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config.config).connect(config.server_name, stream).await
}

/// A request on a connection of its own; an error if the connection does not hold.
pub async fn ask(
    stream: std::io::Result<TlsStream<TcpStream>>,
    headers: &[(&'static str, &str)],
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = stream?;
    let http2 = stream.get_ref().1.alpn_protocol().is_some_and(|alpn| alpn.ends_with(b"h2"));
    let io = TokioIo::new(stream);
    let mut request = Request::get(if http2 { "https://a.example/" } else { "/" });
    if !http2 {
        request = request.header("host", "a.example");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default())?;
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        soon(sender.send_request(request)).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        soon(sender.send_request(request)).await?
    };
    Ok(Answer::read(response).await)
}

/// A request's headers, and the ALPN value that its connection chose.
pub type Came = (HeaderMap, Option<String>);

/// A workload that serves HTTP inside mesh mTLS, and lets in whoever its CA vouches for.
pub struct Workload {
    pub address: SocketAddr,
    /// TCP connections that were accepted.
    pub accepted: Arc<Mutex<usize>>,
    /// What requests came with.
    pub seen: Arc<Mutex<Vec<Came>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Workload {
    pub async fn start(identity: &Identity) -> Self {
        let anybody = MeshClients {
            identity: "".into(),
            mode: MeshMode::Strict,
            peers: vec![PeerMatch::TrustDomain("cluster.local".into())],
        };
        let config = mesh_server_config(MeshServer {
            identity,
            clients: Some(&anybody),
            certificates: &[],
            min_version: TlsVersion::V1_2,
            alpn: MeshAlpn::Http,
        });
        let acceptor = TlsAcceptor::from(config.unwrap().config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, seen): (Arc<Mutex<usize>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let (count, log) = (accepted.clone(), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                let (acceptor, log) = (acceptor.clone(), log.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, log).await;
                    }
                });
            }
        });
        Self { address, accepted, seen, task }
    }

    pub fn accepted(&self) -> usize {
        *self.accepted.lock().unwrap()
    }

    pub fn last(&self) -> Came {
        self.seen.lock().unwrap().last().cloned().expect("a request has come")
    }
}

async fn serve(stream: tokio_rustls::server::TlsStream<TcpStream>, log: Arc<Mutex<Vec<Came>>>) {
    let alpn = stream.get_ref().1.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
    let http2 = alpn.as_deref().is_some_and(|alpn| alpn.ends_with("h2"));
    let service = service_fn(move |request: Request<Incoming>| {
        log.lock().unwrap().push((request.headers().clone(), alpn.clone()));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("meshed"))) }
    });
    let io = TokioIo::new(stream);
    // Whoever breaks off has been told by the test.
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An access log in a folder of its own.
pub struct Log(tempfile::TempDir);

impl Log {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn target(&self) -> AccessLogTarget {
        AccessLogTarget::File(self.0.path().join("access.log"))
    }

    /// Waits until there are that many lines.
    pub async fn lines(&self, gateway: &Gateway, count: usize) -> Vec<serde_json::Value> {
        let path = self.0.path().join("access.log");
        soon(async {
            loop {
                gateway.proxy.as_ref().unwrap().access_log().flush(LONG);
                let text = std::fs::read_to_string(&path).unwrap();
                if text.lines().count() >= count {
                    return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// The value of a metric whose line starts so; 0 without one.
pub fn metric(gateway: &Gateway, start: &str) -> u64 {
    let text = gateway.proxy.as_ref().unwrap().metrics().encode();
    let line = text.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Two trust domains' bundles.
pub fn federated(authorities: &[&TestCa]) -> TrustBundles {
    bundles_of(authorities)
}

/// Asks one of the proxy's own pages.
pub async fn page(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get(path).header("host", address.to_string()).body(Full::<Bytes>::default()).unwrap();
    let answer = Answer::read(soon(sender.send_request(request)).await.unwrap()).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

/// Headers by name, for comparisons.
pub fn named<'h>(headers: &'h HeaderMap, names: &[&'static str]) -> BTreeMap<&'static str, &'h str> {
    let each = names.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
    each.collect()
}
