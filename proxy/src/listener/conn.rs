//! A connection from accept to its protocol: PROXY header, TLS, then HTTP or bytes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::prefixed::Prefixed;
use super::proxy_protocol::read_header;
use super::registry::Registry;
use super::serve;
use super::sniff::{Sniffed, sniff};
use super::tls::{
    Handshakes, PeerCertificate, TlsFacts, TlsLimits, TlsOutcome, TlsRefusal, TlsTarget, accept,
};
use crate::compiled::{
    ClientAuthMode, CompiledL4, CompiledProtocol, CompiledServer, CompiledTlsServer, HostTable,
};
use crate::drain::DrainWatch;
use crate::http::connection::{Addresses, Connection, Tls};
use crate::http::core::{Core, Live, Slot};
use crate::http::forwarded::Client;
use crate::overload::ShedReason;
use crate::tcp::{self, Abort};
use crate::telemetry::access_log::ConnectionLine;
use crate::telemetry::metrics::{GaugeGuard, TlsFailure};

/// What the connections of a core share.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) core: Rc<Core>,
    pub(crate) registry: Rc<Registry>,
    pub(crate) handshakes: Handshakes,
    pub(crate) drain: DrainWatch,
}

/// Serves a connection to its end.
pub(crate) async fn run(stream: TcpStream, peer: SocketAddr, slot: Rc<Slot>, tools: Rc<Tools>) {
    // The one load for what holds for the connection as a whole.
    let live = slot.live();
    let policy = live.listener.connection.clone();
    let Ok(local) = stream.local_addr() else { return };
    // A small answer must not wait for the acknowledgement of the one before it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let limit = policy.limits.header_timeout;
    let (stream, endpoints) = match read_header(stream, peer, &policy.proxy_protocol, limit).await {
        Ok(read) => read,
        Err(error) => {
            live.metrics.proxy_protocol_errors.inc();
            debug!(%error, %peer, listener = %live.listener.name, "PROXY header refused");
            return;
        }
    };
    let addresses = endpoints.map_or(Addresses { remote: peer, local }, |endpoints| Addresses {
        remote: endpoints.source,
        local: endpoints.destination,
    });
    match &live.listener.protocol {
        CompiledProtocol::Http(_) => http(stream, addresses, slot, tools, None, limit).await,
        CompiledProtocol::Tls(servers) => tls(stream, addresses, servers, &live, slot.clone(), tools).await,
        CompiledProtocol::Tcp(rule) => tcp(stream, addresses, None, rule.as_ref(), &tools).await,
        // A datagram listener has no connections.
        CompiledProtocol::Udp(_) => {}
    }
}

/// Opaque bytes.
async fn tcp<S>(
    stream: S,
    addresses: Addresses,
    facts: Option<TlsFacts>,
    rule: Option<&Arc<CompiledL4>>,
    tools: &Tools,
) where
    S: AsyncRead + AsyncWrite + Abort + Unpin,
{
    let facts = facts.unwrap_or_default();
    let peer = facts.peer.as_deref().filter(|peer| peer.verified);
    let client = tcp::Client {
        stream,
        remote: addresses.remote,
        local: addresses.local,
        spiffe_id: peer.and_then(PeerCertificate::spiffe_id).map(Into::into),
        server_name: facts.server_name,
    };
    let core = &tools.core;
    let l4 = tcp::Tools {
        upstreams: &core.upstreams,
        log: &core.log,
        metrics: &core.metrics,
        drain: tools.drain.clone(),
    };
    let registered = tools.registry.register();
    let purged = |waker: &Waker| {
        registered.wait(waker);
        registered.purged()
    };
    tcp::serve(client, rule, l4, purged).await;
}

/// HTTP/1.1 or HTTP/2, whichever the client speaks. Until its first bytes no codec is built: a connection that
/// is not used yet costs little (performance.md §2).
async fn http<S>(
    mut stream: Prefixed<S>,
    addresses: Addresses,
    slot: Rc<Slot>,
    tools: Rc<Tools>,
    tls: Option<Encrypted>,
    limit: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let registered = tools.registry.register();
    let Ok(Ok(Some(first))) = timeout(limit, sniff(&mut stream)).await else { return };
    let forwarded = &slot.live().listener.connection.forwarded;
    let agreed = tls.as_ref().is_some_and(|tls| tls.http2);
    let (tls, certificate) = tls.map_or((None, None), |tls| (Some(tls.facts), tls.certificate));
    let client = Client::new(addresses.remote.ip(), tls.is_some(), certificate, forwarded);
    let connection = Rc::new(Connection::new(tools.core.clone(), slot, client, addresses, tls));
    match first {
        // RFC 9113 §3.2: who agreed on HTTP/2 by ALPN and sends something else gets a connection error.
        _ if agreed => serve::http2(stream, connection, &registered).await,
        Sniffed::Http2 => serve::http2(stream, connection, &registered).await,
        // TLS on a plaintext port is bytes that the codec refuses by 400.
        Sniffed::Http1 | Sniffed::Tls => serve::http1(stream, connection, &registered).await,
    }
}

/// What TLS left for HTTP.
struct Encrypted {
    facts: Tls,
    /// ALPN settled on HTTP/2.
    http2: bool,
    certificate: Option<HeaderValue>,
}

async fn tls(
    stream: Prefixed<TcpStream>,
    addresses: Addresses,
    servers: &HostTable<CompiledTlsServer>,
    live: &Live,
    slot: Rc<Slot>,
    tools: Rc<Tools>,
) {
    let limits = &live.listener.connection.limits;
    let negotiation = TlsLimits { timeout: limits.handshake_timeout, handshakes: &tools.handshakes };
    let handshaking = GaugeGuard::new(&live.metrics, |metrics| &metrics.handshaking);
    let outcome = accept(stream, servers, negotiation).await;
    drop(handshaking);
    match outcome {
        TlsOutcome::Terminated { stream, facts, chosen: TlsTarget::Http(server) } => {
            live.metrics.handshakes.inc();
            let name = facts.server_name.as_deref().unwrap_or_default();
            let Some(client_auth) = client_auth(servers.find(name)) else { return };
            let encrypted = encrypted(facts, server, client_auth);
            let header_timeout = limits.header_timeout;
            http(Prefixed::new(stream), addresses, slot, tools, Some(encrypted), header_timeout).await;
        }
        TlsOutcome::Terminated { stream, facts, chosen: TlsTarget::Tcp(rule) } => {
            live.metrics.handshakes.inc();
            tcp(stream, addresses, Some(facts), Some(&rule), &tools).await;
        }
        TlsOutcome::Passthrough { stream, server_name, chosen: TlsTarget::Tcp(rule) } => {
            live.metrics.passthrough.inc();
            let facts = TlsFacts { server_name, ..TlsFacts::default() };
            tcp(stream, addresses, Some(facts), Some(&rule), &tools).await;
        }
        // HTTP is never spoken without ending TLS.
        TlsOutcome::Passthrough { chosen: TlsTarget::Http(_), .. } => {}
        TlsOutcome::Refused(refusal) => {
            live.metrics.tls_failure(refusal.failure);
            debug!(error = %refusal, client = %addresses.remote, listener = %live.listener.name, "TLS refused");
            refused(&tools.core, addresses, refusal);
        }
    }
}

/// Tells metrics and log of a handshake that was refused.
fn refused(core: &Core, addresses: Addresses, refusal: TlsRefusal) {
    if refusal.failure == TlsFailure::Shed {
        core.metrics.shed(ShedReason::HandshakeLimit);
    }
    if refusal.is_probe() {
        return;
    }
    let mut line = ConnectionLine::new(&core.log, addresses.remote, addresses.local);
    line.flags = refusal.flags();
    line.termination = Some(refusal.failure.as_str());
    line.failure = Some(refusal.detail);
    line.server_name = refusal.server_name;
}

/// What the server that the SNI chose asks of its clients.
fn client_auth(server: Option<&CompiledTlsServer>) -> Option<ClientAuthMode> {
    match server? {
        CompiledTlsServer::Terminate { client_auth, .. } => Some(*client_auth),
        CompiledTlsServer::Passthrough(_) | CompiledTlsServer::Closed { .. } => None,
    }
}

fn encrypted(facts: TlsFacts, server: Arc<CompiledServer>, client_auth: ClientAuthMode) -> Encrypted {
    // Nothing that an unverified certificate says may be passed on.
    let peer = facts.peer.as_deref().filter(|peer| peer.verified);
    Encrypted {
        http2: facts.http2,
        certificate: peer.and_then(element),
        facts: Tls {
            mutual: peer.is_some(),
            spiffe_id: peer.and_then(PeerCertificate::spiffe_id).map(Into::into),
            server_name: facts.server_name,
            server,
            client_auth,
        },
    }
}

/// An element of `X-Forwarded-Client-Cert`, with the keys that Istio's gateways set.
fn element(peer: &PeerCertificate) -> Option<HeaderValue> {
    let mut text = format!("Hash={};Subject=\"{}\"", peer.sha256, escape(&peer.subject));
    for uri in &peer.uris {
        text.extend([";URI=", &quote(uri)]);
    }
    for name in &peer.dns_names {
        text.extend([";DNS=", &quote(name)]);
    }
    HeaderValue::try_from(text).ok()
}

/// Envoy: a value that holds a separator is quoted.
fn quote(value: &str) -> String {
    if value.contains([',', ';', '=', '"']) { format!("\"{}\"", escape(value)) } else { value.to_owned() }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}
