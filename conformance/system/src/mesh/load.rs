//! Requests at a steady rate over mesh mTLS, with a count of what becomes of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use identity::{ClientAlpn, ClientTlsConfig, Identity, MeshClient};
use model::MeshWire;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsConnector;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests per second over all connections.
    pub rate: u64,
    /// Connections, each with one request at a time.
    pub connections: u64,
    /// After this many requests a connection is given up for a new one, with a new handshake.
    pub per_connection: u64,
}

/// What has become of the requests.
#[derive(Debug, Default)]
struct Ledger {
    stop: AtomicBool,
    answered: AtomicU64,
    handshakes: AtomicU64,
    slowest: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    ledger: Arc<Ledger>,
    clients: JoinSet<()>,
    began: Instant,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests answered with 200.
    pub answered: u64,
    /// Connections made.
    pub handshakes: u64,
    /// Answered requests per second.
    pub rate: f64,
    /// The longest time to an answer.
    pub slowest: Duration,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

impl Load {
    /// Begins to ask a mesh listener that is one of `peers`, as whoever the identity is at each handshake.
    ///
    /// # Errors
    /// There can be no TLS configuration.
    pub fn start(identity: &Identity, peers: &[&str], address: SocketAddr, pace: Pace) -> Result<Self> {
        let ids: Vec<Arc<str>> = peers.iter().map(|&id| id.into()).collect();
        let alpn = ClientAlpn::Http1;
        let mesh = MeshClient {
            identity,
            ids: &ids,
            server_name: Some("edge.example"),
            wire: MeshWire::Spiffe,
            alpn,
        };
        let tls = identity::mesh_client_config(mesh)?;
        let ledger = Arc::new(Ledger::default());
        let mut clients = JoinSet::new();
        for _ in 0..pace.connections {
            let client = Client { tls: tls.clone(), address, pace, ledger: Arc::clone(&ledger) };
            clients.spawn(client.run());
        }
        Ok(Self { ledger, clients, began: Instant::now() })
    }

    /// Ends it.
    pub async fn stop(mut self) -> Outcome {
        let seconds = self.began.elapsed().as_secs_f64();
        self.ledger.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let answered = self.ledger.answered.load(Ordering::Relaxed);
        Outcome {
            answered,
            handshakes: self.ledger.handshakes.load(Ordering::Relaxed),
            rate: answered as f64 / seconds,
            slowest: Duration::from_millis(self.ledger.slowest.load(Ordering::Relaxed)),
            failures: self.ledger.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Outcome {
    /// # Errors
    /// A request failed, or none was made.
    pub fn check(&self) -> Result<()> {
        let first: Vec<&str> = self.failures.iter().take(5).map(String::as_str).collect();
        let failed = self.failures.len();
        ensure!(failed == 0, "{failed} of {} requests failed: {}", self.answered, first.join("; "));
        ensure!(self.answered > 0, "no request was made");
        Ok(())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, handshakes, rate, slowest, failures } = self;
        let failed = failures.len();
        write!(
            f,
            "answered {answered}, failed {failed}, {rate:.0} requests/s, {handshakes} handshakes, slowest {slowest:?}"
        )
    }
}

struct Client {
    tls: ClientTlsConfig,
    address: SocketAddr,
    pace: Pace,
    ledger: Arc<Ledger>,
}

impl Client {
    async fn run(self) {
        let Pace { rate, connections, per_connection } = self.pace;
        let mut ticks = interval(Duration::from_nanos(1_000_000_000 * connections / rate.max(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sender, mut sent) = (None, 0);
        while !self.ledger.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            if sent >= per_connection {
                (sender, sent) = (None, 0);
            }
            sent += 1;
            let began = Instant::now();
            match self.exchange(&mut sender).await {
                Ok(()) => {
                    self.ledger.answered.fetch_add(1, Ordering::Relaxed);
                    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.ledger.slowest.fetch_max(millis, Ordering::Relaxed);
                }
                Err(error) => {
                    sender = None;
                    let mut failures = self.ledger.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(format!("{error:#}"));
                }
            }
        }
    }

    async fn exchange(&self, slot: &mut Option<SendRequest<Empty<Bytes>>>) -> Result<()> {
        // A connection that the gateway has closed between two requests is no failure.
        let open = match slot.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let sender = match slot {
            Some(sender) if open => sender,
            slot => slot.insert(self.connect().await?),
        };
        sender.ready().await.context("connection")?;
        let request = Request::get("/").header("host", "rotate.example").body(Empty::new())?;
        let response = sender.send_request(request).await.context("send")?;
        let status = response.status();
        let body = response.into_body().collect().await.context("body")?.to_bytes();
        ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls.config));
        let stream = tls.connect(self.tls.server_name.clone(), stream).await.context("TLS")?;
        self.ledger.handshakes.fetch_add(1, Ordering::Relaxed);
        let (sender, driver) = handshake(TokioIo::new(stream)).await.context("HTTP")?;
        tokio::spawn(driver);
        Ok(sender)
    }
}
