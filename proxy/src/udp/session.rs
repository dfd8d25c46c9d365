//! A datagram session: one client, one endpoint, a socket of its own between them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::socket::DatagramSocket;
use super::table::SessionKey;
use super::{MAX_DATAGRAM, Tools};
use crate::compiled::{CompiledBackendRef, CompiledL4};
use crate::tcp;
use crate::telemetry::access_log::ConnectionLine;
use crate::telemetry::flags::Flags;
use crate::telemetry::metrics::{GaugeGuard, RouteLabels, TcpMetrics, UdpDrop};
use crate::upstream::{EndpointId, OutBody, PickHints, Picked, UpstreamError, UpstreamErrorKind};

/// What the port and the session's own future share.
#[derive(Debug)]
pub(super) struct Session {
    upstream: OnceCell<UdpSocket>,
    /// What came before the socket was there.
    early: RefCell<VecDeque<Vec<u8>>>,
    endpoint: Cell<Option<EndpointId>>,
    last: Cell<Instant>,
    received: Cell<u64>,
    end: Cell<Option<Cut>>,
    cut: Notify,
}

/// Why the port ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    Evicted,
    Refused,
    Drained,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Sent,
    Dropped,
    /// The endpoint's host said that nobody listens there.
    Refused,
}

impl Session {
    pub(super) fn new(first: &[u8]) -> Self {
        Self {
            upstream: OnceCell::new(),
            early: RefCell::new(VecDeque::from([first.to_vec()])),
            endpoint: Cell::new(None),
            last: Cell::new(Instant::now()),
            received: Cell::new(0),
            end: Cell::new(None),
            cut: Notify::new(),
        }
    }

    /// Sends a datagram to the endpoint. Never waits: a datagram that the socket does not take is dropped.
    pub(super) fn send(&self, datagram: &[u8]) -> Outcome {
        self.last.set(Instant::now());
        let Some(upstream) = self.upstream.get() else {
            let mut early = self.early.borrow_mut();
            if early.len() >= MAX_EARLY {
                return Outcome::Dropped;
            }
            early.push_back(datagram.to_vec());
            return Outcome::Sent;
        };
        self.send_now(upstream, datagram)
    }

    fn send_now(&self, upstream: &UdpSocket, datagram: &[u8]) -> Outcome {
        match upstream.try_send(datagram) {
            Ok(_) => {
                self.received.set(self.received.get() + datagram.len() as u64);
                Outcome::Sent
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused,
            Err(_) => Outcome::Dropped,
        }
    }

    /// Ends the session to make room.
    pub(super) fn evict(&self) {
        self.end(Cut::Evicted);
    }

    /// Ends the session at the end of a drain.
    pub(super) fn drained(&self) {
        self.end(Cut::Drained);
    }

    /// Ends the session because its endpoint refuses. Gives the endpoint.
    pub(super) fn refused(&self) -> Option<EndpointId> {
        self.end(Cut::Refused);
        self.endpoint.get()
    }

    fn end(&self, cut: Cut) {
        self.end.set(Some(cut));
        self.cut.notify_one();
    }
}

/// Carries a session to its end; the line is written then.
pub(super) async fn run<B: OutBody>(
    session: &Session,
    key: SessionKey,
    rule: &Arc<CompiledL4>,
    exclude: Option<EndpointId>,
    socket: &DatagramSocket,
    tools: &Tools<'_, B>,
) {
    let _open = GaugeGuard::new(tools.listener, |metrics| &metrics.sessions);
    let mut line = ConnectionLine::new(tools.log, key.client, key.local(socket.local_address()));
    line.route = Some(rule.label.clone());
    let Some((picked, metrics)) = pick(rule, key, exclude, tools, &mut line) else {
        tools.listener.udp_drop(UdpDrop::NoEndpoint);
        return;
    };
    session.endpoint.set(Some(picked.id()));
    let connected = tokio::select! {
        connected = connect(&picked, tools) => connected,
        () = session.cut.notified() => return,
    };
    let upstream = match connected {
        Ok(upstream) => upstream,
        Err(error) => {
            picked.note_failure();
            tcp::failed(&mut line, &error);
            tools.listener.udp_drop(UdpDrop::Upstream);
            return;
        }
    };
    line.upstream = upstream.peer_addr().ok();
    line.upstream_local = upstream.local_addr().ok();
    metrics.opened.inc();
    let upstream = session.upstream.get_or_init(|| upstream);
    for datagram in session.early.take() {
        if session.send_now(upstream, &datagram) != Outcome::Sent {
            tools.listener.udp_drop(UdpDrop::Upstream);
        }
    }
    let mut replies = Replies { session, upstream, socket, key, tools, metrics: &metrics, sent: 0 };
    let end = replies.carry(rule.idle_timeout).await;
    let sent = replies.sent;
    metrics.closed.inc();
    metrics.received.add(session.received.get());
    (line.bytes_received, line.bytes_sent) = (session.received.get(), sent);
    (line.flags, line.termination) = match end {
        SessionEnd::Idle => (Flags::NONE, Some("idle_timeout")),
        SessionEnd::Cut(Cut::Evicted) => (Flags::OVERLOAD, Some("session_evicted")),
        SessionEnd::Cut(Cut::Drained) => (Flags::DRAINED, Some("drain_deadline")),
        SessionEnd::Cut(Cut::Refused) => {
            picked.note_failure();
            (Flags::UPSTREAM_CONNECTION_FAILURE, Some("upstream_refused"))
        }
    };
}

/// Picks a backend and an endpoint, or says in the line why there is none.
fn pick<B: OutBody>(
    rule: &Arc<CompiledL4>,
    key: SessionKey,
    exclude: Option<EndpointId>,
    tools: &Tools<'_, B>,
    line: &mut ConnectionLine<'_>,
) -> Option<(Picked, Arc<TcpMetrics>)> {
    line.flags = Flags::NO_BACKEND;
    let backend = match &rule.targets.pick()?.backend {
        CompiledBackendRef::Backend(backend) => backend,
        CompiledBackendRef::Invalid { reason, .. } => {
            line.failure = Some(reason.clone());
            return None;
        }
    };
    line.backend = Some(backend.name.clone());
    let hints = PickHints {
        hash: tcp::affinity(backend, key.client),
        session: None,
        exclude: exclude.as_slice(),
        source: None,
    };
    match tools.upstreams.pick(backend, &hints) {
        Ok(picked) => {
            line.flags = Flags::DRAINED;
            let labels = RouteLabels::new(&rule.label, Some((&backend.name, &backend.spec.origin)));
            Some((picked, tools.metrics.tcp(&labels)))
        }
        Err(error) => {
            tcp::failed(line, &error);
            None
        }
    }
}

async fn connect<B: OutBody>(picked: &Picked, tools: &Tools<'_, B>) -> Result<UdpSocket, UpstreamError> {
    let unsent = |error: io::Error| UpstreamError::unsent(UpstreamErrorKind::ConnectOther).because(error);
    let wait = picked.backend().spec.connection.connect_timeout;
    let address = timeout(wait, tools.upstreams.address(picked))
        .await
        .map_err(|_| UpstreamError::unsent(UpstreamErrorKind::Resolve))??;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Connected, so that only the endpoint can answer and its refusals reach us (udp(7)).
    let socket = UdpSocket::bind(any).await.map_err(unsent)?;
    socket.connect(address).await.map_err(unsent)?;
    // A socket that the reactor has not looked at yet takes nothing without waiting.
    socket.writable().await.map_err(unsent)?;
    Ok(socket)
}

/// How a session ended.
enum SessionEnd {
    Idle,
    Cut(Cut),
}

/// The way back.
struct Replies<'a, B> {
    session: &'a Session,
    upstream: &'a UdpSocket,
    socket: &'a DatagramSocket,
    key: SessionKey,
    tools: &'a Tools<'a, B>,
    metrics: &'a TcpMetrics,
    sent: u64,
}

impl<B: OutBody> Replies<'_, B> {
    async fn carry(&mut self, idle: Duration) -> SessionEnd {
        let far = Duration::from_secs(365 * 24 * 3600);
        let idle = if idle.is_zero() { far } else { idle };
        let mut timer = std::pin::pin!(sleep_until(self.session.last.get() + idle));
        loop {
            tokio::select! {
                () = self.session.cut.notified() => {
                    return SessionEnd::Cut(self.session.end.get().unwrap_or(Cut::Evicted));
                }
                () = timer.as_mut() => {
                    let due = self.session.last.get() + idle;
                    if due <= Instant::now() {
                        return SessionEnd::Idle;
                    }
                    timer.as_mut().reset(due);
                }
                readable = self.upstream.readable() => {
                    if readable.is_err() || !self.drain_upstream() {
                        return SessionEnd::Cut(Cut::Refused);
                    }
                }
            }
        }
    }

    /// Passes on what the endpoint has sent. False: it refuses.
    fn drain_upstream(&mut self) -> bool {
        SCRATCH.with_borrow_mut(|bytes| {
            loop {
                match self.upstream.try_recv(bytes) {
                    Ok(length) => {
                        self.session.last.set(Instant::now());
                        self.reply(bytes.get(..length).unwrap_or_default());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(error) => return error.kind() != io::ErrorKind::ConnectionRefused,
                }
            }
        })
    }

    fn reply(&mut self, datagram: &[u8]) {
        match self.socket.try_reply(datagram, &self.key) {
            Ok(_) => {
                let length = datagram.len() as u64;
                self.sent += length;
                self.metrics.sent.add(length);
            }
            Err(_) => self.tools.listener.udp_drop(UdpDrop::Downstream),
        }
    }
}

thread_local! {
    /// Each reply passes through it; nothing waits while it is lent.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_DATAGRAM].into());
}

/// Datagrams that may wait for an endpoint's name to resolve.
const MAX_EARLY: usize = 16;
