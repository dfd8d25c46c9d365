//! A backend that says exactly what a test wants, and the client side of an exchange.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use model::{Address, Backend, Endpoint, EndpointSet, KeyPair, Origin, SecretName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::upstream::resolve::{Answer, Lookup};
use crate::upstream::*;

pub(super) type Client = Upstreams<Full<Bytes>>;

/// Runs a test as a core would, for a minute at most.
pub(super) fn on_a_core(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, limited);
}

/// Waits for a condition that another task brings about.
pub(super) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Resolves `good.test` to 127.0.0.1 and nothing else.
struct Names;

impl Lookup for Names {
    fn look_up(&self, name: Arc<str>) -> BoxFuture<'static, Answer> {
        let answer = match &*name {
            "good.test" => {
                let addresses = vec![[127, 0, 0, 1].into()];
                Answer::Found { addresses, ttl: Duration::from_secs(60) }
            }
            _ => Answer::Absent,
        };
        async { answer }.boxed()
    }
}

pub(super) fn resolver() -> Arc<Resolver> {
    Arc::new(Resolver::new(tokio::runtime::Handle::current(), Arc::new(Names)))
}

pub(super) fn client() -> Client {
    Upstreams::new(resolver())
}

pub(super) fn endpoint(address: Address, port: u16) -> Endpoint {
    Endpoint {
        reach: model::Reach::AsBackend,
        address,
        port,
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    }
}

pub(super) fn backend_with(
    endpoints: Vec<Endpoint>,
    secrets: &BTreeMap<SecretName, Arc<KeyPair>>,
    change: impl Fn(&mut Backend),
) -> Arc<BackendHandle> {
    let mut spec = Backend {
        origin: Origin::new("Service", "a", "b"),
        port: 80,
        protocol: Default::default(),
        tls: Default::default(),
        balance: Default::default(),
        health: Default::default(),
        circuit: Default::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: Default::default(),
    };
    change(&mut spec);
    let endpoints = Arc::new(EndpointSet(endpoints));
    BackendHandle::build(
        &"service/a/b/80".into(),
        &Arc::new(spec),
        &endpoints,
        secrets,
        "",
        &Default::default(),
        None,
    )
    .unwrap()
}

pub(super) fn backend(address: SocketAddr, change: impl Fn(&mut Backend)) -> Arc<BackendHandle> {
    let endpoints = vec![endpoint(Address::Ip(address.ip()), address.port())];
    backend_with(endpoints, &BTreeMap::new(), change)
}

/// An address that refuses connections.
pub(super) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "a.example").body(Full::default()).unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) response: Response<Bytes>,
    pub(super) trailers: Option<http::HeaderMap>,
    pub(super) attempt: Attempt,
}

/// Picks, sends and reads to the end.
pub(super) async fn exchange(
    client: &Client,
    backend: &Arc<BackendHandle>,
    request: Request<Full<Bytes>>,
) -> Result<Exchanged, UpstreamError> {
    let mut picked = client.pick(backend, &PickHints::default())?;
    let response = client.dispatch(backend, &mut picked, request).await.map_err(|failed| failed.error)?;
    let (parts, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    let response = Response::from_parts(parts, collected.to_bytes());
    Ok(Exchanged { response, trailers, attempt: picked.attempt().clone() })
}

/// A request as the raw server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Which connection, from 0.
    pub(super) connection: usize,
    pub(super) head: String,
}

/// What the raw server does after a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Sends these bytes and waits for the next request.
    Send(&'static str),
    /// Sends these bytes and closes.
    SendAndClose(&'static str),
    /// Sends these bytes, then sends back whatever comes.
    SendAndEcho(&'static str),
    /// Says nothing, ever.
    Hang,
}

pub(super) const OK: Reply = Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

/// A server of raw HTTP/1.1 bytes.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) address: SocketAddr,
    seen: Rc<RefCell<Vec<Seen>>>,
    connections: Rc<Cell<usize>>,
    closed: Rc<Cell<usize>>,
}

impl Raw {
    /// Answers each request by `reply`.
    pub(super) async fn start(reply: impl Fn(&Seen) -> Reply + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Rc::default(),
            connections: Rc::default(),
            closed: Rc::default(),
        };
        let (accepting, reply) = (server.clone(), Rc::new(reply));
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = accepting.connections.get();
                accepting.connections.set(number + 1);
                let (server, reply) = (accepting.clone(), Rc::clone(&reply));
                spawn_local(async move {
                    server.serve(stream, number, &*reply).await;
                    server.closed.set(server.closed.get() + 1);
                });
            }
        });
        server
    }

    /// Always the same answer.
    pub(super) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Connections that have ended.
    pub(super) fn closed(&self) -> usize {
        self.closed.get()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    async fn serve(&self, mut stream: TcpStream, connection: usize, reply: &impl Fn(&Seen) -> Reply) {
        while let Some(seen) = read_request(&mut stream, connection).await {
            self.seen.borrow_mut().push(seen.clone());
            match reply(&seen) {
                Reply::Send(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
                Reply::SendAndClose(bytes) => return stream.write_all(bytes.as_bytes()).await.unwrap(),
                Reply::SendAndEcho(bytes) => {
                    stream.write_all(bytes.as_bytes()).await.unwrap();
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    return;
                }
                Reply::Hang => std::future::pending().await,
            }
        }
    }
}

/// Reads a head, and a body if `content-length` tells of one that is not "unread".
async fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let body: usize = if head.contains("/unread") { 0 } else { length.unwrap_or(0) };
    let mut bytes = vec![0; body];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(Seen { connection, head })
}
