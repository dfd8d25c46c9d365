//! What the tests share: a proxy under test, backends that can be told what to do, clients that see bytes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::*;
use proxy::app::{Applied, Proxy};
use proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Nothing here takes longer unless it is broken.
pub const LONG: Duration = Duration::from_secs(10);

/// Waits for what must come.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("it comes soon")
}

/// A proxy under test, with one listener `l` on a free port.
pub struct Gateway {
    pub address: SocketAddr,
    pub proxy: Option<Proxy>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    applied: watch::Receiver<Applied>,
}

impl Gateway {
    pub async fn start(plan: Plan) -> Self {
        Self::start_with(plan, Settings::default()).await
    }

    pub async fn start_with(plan: Plan, settings: Settings) -> Self {
        let free = |asked: Option<SocketAddr>| asked.filter(|address| address.port() == 0);
        let settings = Settings {
            workers: 1,
            admin: free(settings.admin),
            health: free(settings.health),
            metrics: free(settings.metrics),
            ..settings
        };
        let (snapshots, receiver) = watch::channel(Arc::new(plan.0));
        let proxy = Proxy::start(settings, receiver).unwrap();
        let mut applied = proxy.applied();
        let now = soon(applied.wait_for(|applied| applied.generation == 1)).await.unwrap().clone();
        assert_eq!(now.error, None);
        let address = now.listeners["l"].as_ref().unwrap()[0];
        Self { address, proxy: Some(proxy), snapshots, applied }
    }

    /// Applies another snapshot and waits until it is served or refused.
    pub async fn apply(&mut self, plan: Plan) -> Applied {
        let generation = self.applied.borrow().generation;
        self.snapshots.send_replace(Arc::new(plan.0));
        soon(self.applied.wait_for(|applied| applied.generation > generation)).await.unwrap().clone()
    }

    /// Sends bytes on a connection of their own and reads until the proxy closes it.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        String::from_utf8(answer).unwrap()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).header("host", "a.example").body(Bytes::new()).unwrap()).await
    }

    /// Sends a request over HTTP/1.1 on a connection of its own.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Answer::read(soon(sender.send_request(request.map(Full::new))).await.unwrap()).await
    }

    /// Sends a request over HTTP/2 on a connection of its own; the target must be absolute.
    pub async fn send2(&self, request: Request<Bytes>) -> Answer {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Answer::read(soon(sender.send_request(request.map(Full::new))).await.unwrap()).await
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = soon(body.collect()).await.expect("the body is whole");
        let trailers = body.trailers().cloned();
        Self { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A request as a backend saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A backend: answers as it is told, and remembers what it saw.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<Mutex<usize>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Answers 200 with its name.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(Full::from(name)) }).await
    }

    /// HTTP/1.1.
    pub async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Seen) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Self::serve(false, handler).await
    }

    /// HTTP/2 with prior knowledge.
    pub async fn start2<H, F>(handler: H) -> Self
    where
        H: Fn(Seen) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Self::serve(true, handler).await
    }

    async fn serve<H, F>(http2: bool, handler: H) -> Self
    where
        H: Fn(Seen) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (log, count) = (seen.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                let (handler, log) = (handler.clone(), log.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (handler, log) = (handler.clone(), log.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let Ok(body) = body.collect().await else {
                            // The proxy broke off: nobody reads what is answered.
                            return Ok::<_, Infallible>(Response::new(Full::from("broken")));
                        };
                        let seen = Seen {
                            method: parts.method,
                            uri: parts.uri,
                            version: parts.version,
                            headers: parts.headers,
                            body: body.to_bytes(),
                        };
                        log.lock().unwrap().push(seen.clone());
                        Ok(handler(seen).await)
                    }
                });
                let io = TokioIo::new(stream);
                if http2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(server.serve_connection(io, service));
                } else {
                    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
                }
            }
        });
        Self { address, seen, connections, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request has come")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A snapshot in the making: listener `l` (HTTP, any host, its port called 80), route table `t`.
pub struct Plan(pub Snapshot);

impl Plan {
    pub fn new() -> Self {
        let mut snapshot = Snapshot::default();
        let server = HttpServer {
            owner: Origin::new("Gateway", "ns", "gw"),
            section: "http".into(),
            port: 80,
            routes: "t".into(),
            filters: Vec::new(),
        };
        let listener = Listener {
            gateway: Origin::new("Gateway", "ns", "gw"),
            addresses: Vec::new(),
            port: 0,
            protocol: Protocol::Http([(HostPattern::Any, server)].into()),
            connection: ConnectionPolicy::default(),
        };
        snapshot.listeners.insert("l".into(), listener);
        snapshot.routes.insert("t".into(), Arc::default());
        Self(snapshot)
    }

    /// One backend `b` for everything.
    pub fn to(backend: &Server) -> Self {
        Self::new().backend("b", &[backend.address]).rule(forward("b"))
    }

    pub fn backend(self, name: &str, addresses: &[SocketAddr]) -> Self {
        self.backend_with(name, addresses, |_| {})
    }

    pub fn backend_with(
        mut self,
        name: &str,
        addresses: &[SocketAddr],
        edit: impl FnOnce(&mut model::Backend),
    ) -> Self {
        let mut backend = model::Backend {
            origin: Origin::new("Service", "ns", name),
            port: 80,
            protocol: BackendProtocol::Auto,
            tls: UpstreamTls::Plain,
            balance: Balance { algorithm: Algorithm::RoundRobin, ..Balance::default() },
            health: Health::default(),
            circuit: Circuit::default(),
            connection: UpstreamConnection::default(),
            retry_budget: None,
            session: None,
            set_by: Default::default(),
        };
        edit(&mut backend);
        let endpoint = |address: &SocketAddr| Endpoint {
            reach: model::Reach::AsBackend,
            address: Address::Ip(address.ip()),
            port: address.port(),
            weight: 1,
            zone: "".into(),
            draining: false,
            workload: "".into(),
        };
        self.0.backends.insert(name.into(), Arc::new(backend));
        self.0.endpoints.insert(name.into(), Arc::new(EndpointSet(addresses.iter().map(endpoint).collect())));
        self
    }

    /// A rule for everything.
    pub fn rule(self, action: Action) -> Self {
        self.rule_with(Match::default(), Vec::new(), action)
    }

    /// A rule for a path prefix.
    pub fn prefix(self, prefix: &str, filters: Vec<Filter>, action: Action) -> Self {
        let path = Some(PathMatch::SegmentPrefix(prefix.into()));
        self.rule_with(Match { path, ..Match::default() }, filters, action)
    }

    pub fn rule_with(mut self, when: Match, filters: Vec<Filter>, action: Action) -> Self {
        let table = Arc::make_mut(self.0.routes.get_mut("t").unwrap());
        let index = table.rules.len();
        let origin = Origin::new("HTTPRoute", "ns", "r");
        table.rules.push(Rule { origin, index, name: None, filters, action, set_by: Default::default() });
        table.hosts.entry(HostPattern::Any).or_default().push(RouteMatch { when, rule: index });
        self
    }

    pub fn connection(mut self, edit: impl FnOnce(&mut ConnectionPolicy)) -> Self {
        edit(&mut self.0.listeners.get_mut("l").unwrap().connection);
        self
    }
}

/// Forwards to one backend.
pub fn forward(backend: &str) -> Action {
    forward_with(backend, |_| {})
}

pub fn forward_with(backend: &str, edit: impl FnOnce(&mut Forward)) -> Action {
    let mut forward = Forward { backends: vec![weighted(backend, 1)], ..Forward::default() };
    edit(&mut forward);
    Action::Forward(forward)
}

pub fn weighted(backend: &str, weight: u32) -> WeightedBackend {
    WeightedBackend { weight, backend: BackendRef::Name(backend.into()), filters: Vec::new() }
}
