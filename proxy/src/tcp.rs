//! Opaque TCP: pick a backend per connection, connect, copy both ways, log once.

mod abort;
mod buffers;
mod pump;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use model::Affinity;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::compiled::{CompiledBackendRef, CompiledL4};
use crate::drain::DrainWatch;
use crate::mesh::{Fate, Link, Tie};
use crate::telemetry::access_log::{ConnectionLine, CoreLog};
use crate::telemetry::flags::Flags;
use crate::telemetry::metrics::{Metrics, RouteLabels, TcpMetrics};
use crate::upstream::{
    BackendHandle, OutBody, PickHints, Picked, ProxySource, RawStream, UpstreamError, UpstreamErrorKind,
    Upstreams, hash,
};

pub use abort::Abort;

use pump::{End, Pump};

/// One core's tools for opaque traffic.
#[derive(Debug)]
pub struct Tools<'a, B> {
    /// Connections to endpoints.
    pub upstreams: &'a Upstreams<B>,
    /// The access log.
    pub log: &'a CoreLog,
    /// Metrics of the process.
    pub metrics: &'a Arc<Metrics>,
    /// Cuts connections at the end of a drain.
    pub drain: DrainWatch,
}

/// A client's connection.
#[derive(Debug)]
pub struct Client<S> {
    /// Its bytes.
    pub stream: S,
    /// Its address: from a believed PROXY header if there was one.
    pub remote: SocketAddr,
    /// Where it connected to, likewise.
    pub local: SocketAddr,
    /// SNI, if it speaks TLS.
    pub server_name: Option<Arc<str>>,
    /// Its verified identity.
    pub spiffe_id: Option<Arc<str>>,
    /// The standing of a mesh peer's connection.
    pub tie: Option<Rc<Tie>>,
}

/// Serves a connection to its end. Without a rule it is closed. Exactly one access-log line is written.
///
/// `purged` says whether quiet connections have been told to end since it was last asked (memory is short), and has
/// the waker woken when they are. `dismissed` says in the same way whether the client is not let in any more.
pub async fn serve<S, B>(
    client: Client<S>,
    rule: Option<&Arc<CompiledL4>>,
    tools: Tools<'_, B>,
    purged: impl Fn(&Waker) -> bool,
    dismissed: impl Fn(&Waker) -> bool,
) where
    S: AsyncRead + AsyncWrite + Abort + Unpin,
    B: OutBody,
{
    let Client { stream, remote, local, server_name, spiffe_id, tie } = client;
    let mut line = ConnectionLine::new(tools.log, remote, local);
    line.route = rule.map(|rule| rule.label.clone());
    line.server_name = server_name;
    line.spiffe_id = spiffe_id;
    let Some(rule) = rule else {
        line.flags = Flags::NO_ROUTE;
        stream.abort();
        return;
    };
    let source = ProxySource { client: remote, server: local };
    let Some(connected) = connect(rule, source, &tools, &mut line).await else {
        stream.abort();
        return;
    };
    let Connected { picked, stream: upstream, metrics } = connected;
    metrics.opened.inc();
    let peer = upstream.peer().cloned();
    line.upstream_peer = peer.as_ref().map(|peer| peer.peer.id.clone());
    let mut pump = Pump::new(stream, upstream, rule.idle_timeout, &metrics);
    let mut drain = tools.drain.clone();
    let end = tokio::select! {
        end = pump.run(purged) => end,
        () = drain.forced() => End::Forced,
        // Bytes know no last request: what stands on a certificate ends with it.
        reason = ended(tie.as_deref().map(|tie| &**tie)) => End::Untied(reason),
        reason = ended(peer.as_deref()) => End::Untied(reason),
        () = poll_fn(|cx| if dismissed(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }) => {
            End::Untied("the listener does not let such clients in any more".into())
        }
    };
    (line.bytes_received, line.bytes_sent) = pump.finish(&end);
    metrics.closed.inc();
    drop(picked);
    note(&mut line, &end);
}

/// Completes when a mesh connection may not go on, with the reason. Never for others.
async fn ended(link: Option<&Link>) -> Arc<str> {
    match link {
        Some(link) => {
            link.reached(Fate::Draining).await;
            link.reason().map_or_else(|| "mesh connection ended".into(), Arc::clone)
        }
        None => std::future::pending().await,
    }
}

/// A connection to an endpoint.
struct Connected {
    /// Counts at its endpoint until the connection ends.
    picked: Picked,
    stream: RawStream,
    metrics: Arc<TcpMetrics>,
}

/// Picks a backend and an endpoint and connects. No byte has been sent yet, so a failure is tried again
/// elsewhere.
async fn connect<B: OutBody>(
    rule: &Arc<CompiledL4>,
    source: ProxySource,
    tools: &Tools<'_, B>,
    line: &mut ConnectionLine<'_>,
) -> Option<Connected> {
    let Some(target) = rule.targets.pick() else {
        line.flags = Flags::NO_BACKEND;
        line.failure = Some("the route has no backend".into());
        return None;
    };
    let backend = match &target.backend {
        CompiledBackendRef::Backend(backend) => backend,
        CompiledBackendRef::Invalid { reason, .. } => {
            line.flags = Flags::NO_BACKEND;
            line.failure = Some(reason.clone());
            return None;
        }
    };
    line.backend = Some(backend.name.clone());
    let labels = RouteLabels::new(&rule.label, Some((&backend.name, &backend.spec.origin)));
    let mut tried = Vec::new();
    loop {
        let hash = affinity(backend, source.client);
        let hints = PickHints { hash, session: None, exclude: &tried, source: Some(source) };
        let error = match tools.upstreams.pick(backend, &hints) {
            Err(error) => error,
            Ok(picked) if tried.contains(&picked.id()) => {
                // Every endpoint has been tried.
                line.flags |= Flags::RETRY_LIMIT;
                return None;
            }
            Ok(mut picked) => {
                let result = tools.upstreams.connect_raw(backend, &mut picked).await;
                line.upstream = picked.attempt().remote.or(line.upstream);
                line.upstream_local = picked.attempt().local;
                match result {
                    Ok(stream) => {
                        line.flags = Flags::NONE;
                        line.failure = None;
                        return Some(Connected { picked, stream, metrics: tools.metrics.tcp(&labels) });
                    }
                    Err(error) => {
                        tried.push(picked.id());
                        error
                    }
                }
            }
        };
        failed(line, &error);
        if !worth_another(&error) {
            return None;
        }
        if tried.len() >= MAX_ATTEMPTS {
            line.flags |= Flags::RETRY_LIMIT;
            return None;
        }
        line.retries += 1;
    }
}

/// What keeps a client at one endpoint; of an opaque connection only its address is known.
pub(crate) fn affinity(backend: &BackendHandle, client: SocketAddr) -> Option<u64> {
    let affinity = backend.spec.balance.affinity.as_ref()?;
    matches!(affinity, Affinity::ClientIp).then(|| match client.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => hash::of_bytes(&ip.octets()),
        std::net::IpAddr::V6(ip) => hash::of_bytes(&ip.octets()),
    })
}

/// Notes why there is no connection.
pub(crate) fn failed(line: &mut ConnectionLine<'_>, error: &UpstreamError) {
    line.flags = flags_of(error);
    line.failure = Some(match &error.detail {
        Some(detail) => format!("{}: {detail}", error.kind).into(),
        None => error.kind.to_string().into(),
    });
}

/// Notes how a connection ended.
fn note(line: &mut ConnectionLine<'_>, end: &End) {
    (line.flags, line.termination) = match end {
        End::Clean => (Flags::NONE, None),
        End::Idle => (Flags::IDLE_TIMEOUT, Some("idle_timeout")),
        End::Purged => (Flags::OVERLOAD, Some("overload")),
        End::Forced => (Flags::DRAINED, Some("drain_deadline")),
        End::Untied(_) => (Flags::LOCAL_RESET, Some("mesh_trust_ended")),
        End::ClientFailed(_) => (Flags::DOWNSTREAM_TERMINATED, Some("downstream_reset")),
        End::UpstreamFailed(_) => (Flags::UPSTREAM_TERMINATED, Some("upstream_reset")),
    };
    match end {
        End::UpstreamFailed(error) => line.failure = Some(error.to_string().into()),
        End::Untied(reason) => line.failure = Some(reason.clone()),
        End::ClientFailed(error) => debug!(%error, client = %line.remote, "Client connection broke"),
        End::Clean | End::Idle | End::Purged | End::Forced => {}
    }
}

/// Whether another endpoint may do better.
fn worth_another(error: &UpstreamError) -> bool {
    use UpstreamErrorKind as Kind;
    match error.kind {
        Kind::ConnectRefused
        | Kind::ConnectTimeout
        | Kind::ConnectOther
        | Kind::TlsFailed
        | Kind::Resolve => true,
        Kind::NoHealthyEndpoint
        | Kind::CircuitOpen(_)
        | Kind::TlsClosed(_)
        | Kind::Refused
        | Kind::ResetBeforeResponse
        | Kind::ResetMidResponse
        | Kind::Protocol
        | Kind::RequestBody => false,
    }
}

fn flags_of(error: &UpstreamError) -> Flags {
    use UpstreamErrorKind as Kind;
    match error.kind {
        Kind::NoHealthyEndpoint => Flags::NO_HEALTHY_UPSTREAM,
        Kind::CircuitOpen(_) => Flags::UPSTREAM_OVERFLOW,
        Kind::Resolve => Flags::DNS_FAILURE,
        Kind::ConnectRefused
        | Kind::ConnectTimeout
        | Kind::ConnectOther
        | Kind::TlsFailed
        | Kind::TlsClosed(_) => Flags::UPSTREAM_CONNECTION_FAILURE,
        Kind::Refused | Kind::ResetBeforeResponse | Kind::ResetMidResponse => Flags::UPSTREAM_TERMINATED,
        Kind::Protocol | Kind::RequestBody => Flags::UPSTREAM_PROTOCOL_ERROR,
    }
}

/// Endpoints tried for one connection.
const MAX_ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests;
