//! Datagrams: a session per client address, one upstream socket per session.
//!
//! Each worker has its own socket in the port's SO_REUSEPORT group; the kernel keeps a client at one of them.
//! All sessions of a worker are one future: they end with it, and need no task of their own.

mod session;
mod socket;
mod table;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::debug;

use crate::compiled::CompiledL4;
use crate::drain::{DrainPhase, DrainWatch};
use crate::overload::{ListenerGate, Overload, Pressure, ShedReason};
use crate::telemetry::access_log::CoreLog;
use crate::telemetry::metrics::{ListenerMetrics, Metrics, UdpDrop};
use crate::upstream::{EndpointId, OutBody, Upstreams};

pub use socket::DatagramSocket;

use session::{Outcome, Session};
use table::{SessionKey, SessionTable};

/// One core's tools for datagrams of one listener.
#[derive(Debug)]
pub struct Tools<'a, B> {
    /// Picks endpoints and resolves their names.
    pub upstreams: &'a Upstreams<B>,
    /// The access log: one line per session.
    pub log: &'a CoreLog,
    /// Metrics of the process.
    pub metrics: &'a Arc<Metrics>,
    /// Metrics of the listener.
    pub listener: &'a Arc<ListenerMetrics>,
    /// Admits sessions: each holds a descriptor.
    pub overload: &'a Arc<Overload>,
    /// Counts the listener's sessions.
    pub gate: &'a Arc<ListenerGate>,
    /// While it drains no session begins; at its end all are cut.
    pub drain: DrainWatch,
    /// Sessions of this worker at most: beyond that the one that was silent longest gives way.
    pub max_sessions: usize,
}

/// What a listener says at the moment.
#[derive(Clone, Debug)]
pub struct Present {
    /// Where new sessions go; none: datagrams are dropped.
    pub rule: Option<Arc<CompiledL4>>,
    /// Bound on the listener's sessions over all cores; 0: none.
    pub limit: u32,
}

/// Sessions of a worker unless told otherwise.
pub const DEFAULT_SESSIONS: usize = 8192;

/// Serves a socket until the drain is over: forced, or draining and without sessions. `present` is asked for
/// each new session.
///
/// # Errors
/// The socket cannot be read any more.
pub async fn serve<B: OutBody>(
    socket: &DatagramSocket,
    present: impl Fn() -> Present,
    tools: Tools<'_, B>,
) -> io::Result<()> {
    let mut drain = tools.drain.clone();
    let mut forced = tools.drain.clone();
    let mut port = Port {
        socket,
        tools: &tools,
        table: SessionTable::new(tools.max_sessions),
        bytes: vec![0; MAX_DATAGRAM].into(),
    };
    let mut sessions = FuturesUnordered::new();
    let (mut draining, mut cut) = (false, false);
    loop {
        tokio::select! {
            biased;
            () = forced.forced(), if !cut => {
                cut = true;
                draining = true;
                port.table.iter().for_each(|session| session.drained());
            }
            () = drain.draining(), if !draining => draining = true,
            Some(end) = sessions.next() => port.ended(&end),
            readable = socket.readable(), if !cut => {
                readable?;
                port.receive(&present, |future| sessions.push(future));
            }
        }
        if draining && sessions.is_empty() {
            return Ok(());
        }
    }
}

/// How a session ended.
struct End {
    key: SessionKey,
    session: Rc<Session>,
}

/// A worker's socket with its sessions.
struct Port<'a, B> {
    socket: &'a DatagramSocket,
    tools: &'a Tools<'a, B>,
    table: SessionTable<Rc<Session>>,
    bytes: Box<[u8]>,
}

impl<'a, B: OutBody> Port<'a, B> {
    /// Takes what has arrived, a batch at most, so that sessions get their turn.
    fn receive<F>(&mut self, present: &impl Fn() -> Present, mut start: F)
    where
        F: FnMut(futures_util::future::LocalBoxFuture<'a, End>),
    {
        let mut bytes = std::mem::take(&mut self.bytes);
        for _ in 0..BATCH {
            let (length, key) = match self.socket.try_receive(&mut bytes) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // An ICMP error for an earlier reply, say: nothing that ends the listener.
                    debug!(%error, "Datagram could not be received");
                    continue;
                }
            };
            let datagram = bytes.get(..length).unwrap_or_default();
            if let Some(future) = self.forward(key, datagram, present) {
                start(future);
            }
        }
        self.bytes = bytes;
    }

    /// Sends a datagram on in its session, or in a new one.
    fn forward(
        &mut self,
        key: SessionKey,
        datagram: &[u8],
        present: &impl Fn() -> Present,
    ) -> Option<futures_util::future::LocalBoxFuture<'a, End>> {
        let mut exclude = None;
        if let Some(session) = self.table.touch(&key) {
            match session.send(datagram) {
                Outcome::Sent => return None,
                Outcome::Dropped => {
                    self.tools.listener.udp_drop(UdpDrop::Upstream);
                    return None;
                }
                // The endpoint does not listen any more: begin anew, elsewhere if there is an elsewhere.
                Outcome::Refused => {
                    exclude = session.refused();
                    self.table.remove(&key);
                }
            }
        }
        self.begin(key, datagram, present, exclude)
    }

    fn begin(
        &mut self,
        key: SessionKey,
        datagram: &[u8],
        present: &impl Fn() -> Present,
        exclude: Option<EndpointId>,
    ) -> Option<futures_util::future::LocalBoxFuture<'a, End>> {
        let tools = self.tools;
        let refuse = |reason| {
            tools.listener.udp_drop(reason);
            None
        };
        if tools.drain.phase() >= DrainPhase::Draining {
            return refuse(UdpDrop::Shed);
        }
        let Present { rule, limit } = present();
        let Some(rule) = rule else { return refuse(UdpDrop::NoRoute) };
        let admitted = if tools.overload.pressure() >= Pressure::ShedStreams {
            Err(ShedReason::Overload)
        } else {
            tools.overload.admit(tools.gate, limit)
        };
        let permit = match admitted {
            Ok(permit) => permit,
            Err(reason) => {
                tools.metrics.shed(reason);
                return refuse(UdpDrop::Shed);
            }
        };
        let session = Rc::new(Session::new(datagram));
        if let Some(evicted) = self.table.insert(key, session.clone()) {
            evicted.evict();
        }
        let socket = self.socket;
        Some(Box::pin(async move {
            session::run(&session, key, &rule, exclude, socket, tools).await;
            drop(permit);
            End { key, session }
        }))
    }

    fn ended(&mut self, end: &End) {
        // Its place may have been given to a newer session of the same client.
        if self.table.get(&end.key).is_some_and(|session| Rc::ptr_eq(session, &end.session)) {
            self.table.remove(&end.key);
        }
    }
}

impl SessionKey {
    /// The address that the client sent to, as far as it is known.
    fn local(&self, port: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.local.unwrap_or(port.ip()), port.port())
    }
}

impl From<(SocketAddr, Option<IpAddr>)> for SessionKey {
    fn from((client, local): (SocketAddr, Option<IpAddr>)) -> Self {
        Self { client, local }
    }
}

/// The longest datagram that UDP can carry.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams taken before sessions get their turn.
const BATCH: usize = 64;

#[cfg(test)]
mod tests;
