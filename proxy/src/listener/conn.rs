//! A connection from accept to its protocol: PROXY header, TLS, then HTTP or bytes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::mesh::{self, Found};
use super::prefixed::Prefixed;
use super::proxy_protocol::read_header;
use super::registry::Registry;
use super::serve;
use super::sniff::{Sniffed, sniff};
use super::tls::{
    Handshakes, PeerCertificate, TlsFacts, TlsLimits, TlsOutcome, TlsRefusal, TlsTarget, accept,
};
use crate::compiled::{
    ClientAuthMode, CompiledL4, CompiledMeshListener, CompiledProtocol, CompiledServer, CompiledTlsServer,
    HostTable,
};
use crate::drain::DrainWatch;
use crate::http::connection::{Addresses, Connection, MeshPeer, Tls, lets_in};
use crate::http::core::{Core, Live, Slot};
use crate::http::forwarded::Client;
use crate::http::xfcc::ClientCertificate;
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
        CompiledProtocol::Http(_) => match &live.listener.mesh {
            None => http(stream, addresses, slot, tools, None, limit).await,
            Some(mesh) => http_or_mesh(stream, addresses, mesh, &live, slot.clone(), tools).await,
        },
        CompiledProtocol::Tls(servers) => tls(stream, addresses, servers, &live, slot.clone(), tools).await,
        CompiledProtocol::Tcp(rule) => match &live.listener.mesh {
            None => tcp(stream, addresses, Facts::default(), rule.as_ref(), &slot, &tools).await,
            Some(mesh) => tcp_or_mesh(stream, addresses, mesh, &live, rule.as_ref(), &slot, &tools).await,
        },
        // A datagram listener has no connections.
        CompiledProtocol::Udp(_) => {}
    }
}

/// Opaque bytes.
async fn tcp<S>(
    stream: S,
    addresses: Addresses,
    facts: Facts,
    rule: Option<&Arc<CompiledL4>>,
    slot: &Slot,
    tools: &Tools,
) where
    S: AsyncRead + AsyncWrite + Abort + Unpin,
{
    let Facts { tls, mesh } = facts;
    let client = tcp::Client {
        stream,
        remote: addresses.remote,
        local: addresses.local,
        spiffe_id: peer_id(&tls, mesh.as_ref()),
        server_name: tls.server_name.clone(),
        tie: mesh.as_ref().and_then(|mesh| mesh.tie.clone()),
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
    // Every new generation wakes the connection.
    let seen = RefCell::new(slot.live());
    let dismissed = |waker: &Waker| {
        registered.wait(waker);
        let live = slot.live();
        if Rc::ptr_eq(&seen.borrow(), &live) {
            return false;
        }
        let admitted = still_admitted(&live, tls.server_name.as_deref(), mesh.as_ref());
        seen.replace(live);
        !admitted
    };
    tcp::serve(client, rule, l4, purged, dismissed).await;
}

/// Whether a listener of bytes, as it is now, lets in who came earlier. A rule that has changed holds for new ones.
fn still_admitted(live: &Live, server_name: Option<&str>, peer: Option<&MeshPeer>) -> bool {
    match &live.listener.protocol {
        CompiledProtocol::Tcp(_) => lets_in(live.listener.mesh.as_ref(), peer),
        CompiledProtocol::Tls(servers) => match (servers.find(server_name.unwrap_or_default()), peer) {
            (Some(CompiledTlsServer::Terminate { mesh: Some(mesh), .. }), Some(peer)) => peer.admitted(mesh),
            (Some(CompiledTlsServer::Terminate { mesh: Some(_), .. }), None) => false,
            (_, peer) => peer.is_none(),
        },
        CompiledProtocol::Http(_) | CompiledProtocol::Udp(_) => peer.is_none(),
    }
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
    let policy = slot.live().listener.connection.clone();
    let agreed = tls.as_ref().is_some_and(|tls| tls.http2);
    let (tls, certificate) = tls.map_or((None, None), |tls| (Some(tls.facts), tls.certificate));
    let peer = tls.as_ref().and_then(|tls| tls.mesh.as_ref()?.id());
    let client = Client::new(addresses.remote.ip(), tls.is_some(), certificate, peer, &policy);
    let connection = Rc::new(Connection::new(tools.core.clone(), slot, client, addresses, tls));
    match first {
        // RFC 9113 §3.2: who agreed on HTTP/2 by ALPN and sends something else gets a connection error.
        _ if agreed => serve::http2(stream, connection, &registered).await,
        Sniffed::Http2 => serve::http2(stream, connection, &registered).await,
        // TLS on a plaintext port is bytes that the codec refuses by 400.
        Sniffed::Http1 | Sniffed::Tls => serve::http1(stream, connection, &registered).await,
    }
}

/// HTTP in the clear or inside mesh TLS, by the first bytes.
async fn http_or_mesh(
    stream: Prefixed<TcpStream>,
    addresses: Addresses,
    mesh: &CompiledMeshListener,
    live: &Live,
    slot: Rc<Slot>,
    tools: Rc<Tools>,
) {
    let limits = &live.listener.connection.limits;
    let negotiation = TlsLimits { timeout: limits.handshake_timeout, handshakes: &tools.handshakes };
    let first = limits.header_timeout;
    match mesh::before_http(stream, mesh, negotiation, first).await {
        Found::Plain(stream) => http(stream, addresses, slot, tools, None, first).await,
        Found::Mesh { stream, facts, peer } => {
            live.metrics.handshakes.inc();
            let encrypted = encrypted(facts, None, ClientAuthMode::Mesh, Some(peer));
            http(Prefixed::new(stream), addresses, slot, tools, Some(encrypted), first).await;
        }
        Found::Refused(refusal) => refused(&tools.core, live, addresses, refusal),
        Found::Gone => {}
    }
}

/// Bytes in the clear or inside mesh TLS, by the first bytes.
async fn tcp_or_mesh(
    stream: Prefixed<TcpStream>,
    addresses: Addresses,
    mesh: &CompiledMeshListener,
    live: &Live,
    rule: Option<&Arc<CompiledL4>>,
    slot: &Slot,
    tools: &Tools,
) {
    let limits = &live.listener.connection.limits;
    let negotiation = TlsLimits { timeout: limits.handshake_timeout, handshakes: &tools.handshakes };
    match mesh::before_bytes(stream, mesh, negotiation).await {
        Found::Plain(stream) => tcp(stream, addresses, Facts::default(), rule, slot, tools).await,
        Found::Mesh { stream, facts, peer } => {
            live.metrics.handshakes.inc();
            tcp(stream, addresses, Facts { tls: facts, mesh: Some(peer) }, rule, slot, tools).await;
        }
        Found::Refused(refusal) => refused(&tools.core, live, addresses, refusal),
        Found::Gone => {}
    }
}

/// What is known of an opaque connection.
#[derive(Default)]
struct Facts {
    tls: TlsFacts,
    mesh: Option<MeshPeer>,
}

/// The client's verified identity.
fn peer_id(facts: &TlsFacts, mesh: Option<&MeshPeer>) -> Option<Arc<str>> {
    match mesh {
        Some(mesh) => mesh.id().map(|id| id.as_str().into()),
        None => {
            let peer = facts.peer.as_deref().filter(|peer| peer.verified);
            peer.and_then(PeerCertificate::spiffe_id).map(Into::into)
        }
    }
}

/// What TLS left for HTTP.
struct Encrypted {
    facts: Tls,
    /// ALPN settled on HTTP/2.
    http2: bool,
    certificate: Option<ClientCertificate>,
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
        TlsOutcome::Terminated { stream, facts, chosen: TlsTarget::Http(server, asked) } => {
            live.metrics.handshakes.inc();
            let peer = match asked.map(|asked| asked.answered(&stream)).transpose() {
                Ok(peer) => peer,
                Err(refusal) => return refused(&tools.core, live, addresses, refusal),
            };
            let name = facts.server_name.as_deref().unwrap_or_default();
            let Some(client_auth) = client_auth(servers.find(name)) else { return };
            let encrypted = encrypted(facts, Some(server), client_auth, peer);
            let header_timeout = limits.header_timeout;
            http(Prefixed::new(stream), addresses, slot, tools, Some(encrypted), header_timeout).await;
        }
        TlsOutcome::Terminated { stream, facts, chosen: TlsTarget::Tcp(rule, asked) } => {
            live.metrics.handshakes.inc();
            match asked.map(|asked| asked.answered(&stream)).transpose() {
                Ok(mesh) => {
                    tcp(stream, addresses, Facts { tls: facts, mesh }, Some(&rule), &slot, &tools).await
                }
                Err(refusal) => refused(&tools.core, live, addresses, refusal),
            }
        }
        TlsOutcome::Passthrough { stream, server_name, chosen: TlsTarget::Tcp(rule, _) } => {
            live.metrics.passthrough.inc();
            let facts = Facts { tls: TlsFacts { server_name, ..TlsFacts::default() }, mesh: None };
            tcp(stream, addresses, facts, Some(&rule), &slot, &tools).await;
        }
        // HTTP is never spoken without ending TLS.
        TlsOutcome::Passthrough { chosen: TlsTarget::Http(..), .. } => {}
        TlsOutcome::Refused(refusal) => refused(&tools.core, live, addresses, refusal),
    }
}

/// Tells metrics and log of a handshake that was refused.
fn refused(core: &Core, live: &Live, addresses: Addresses, refusal: TlsRefusal) {
    live.metrics.tls_failure(refusal.failure);
    debug!(error = %refusal, client = %addresses.remote, listener = %live.listener.name, "TLS refused");
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

fn encrypted(
    facts: TlsFacts,
    server: Option<Arc<CompiledServer>>,
    client_auth: ClientAuthMode,
    mesh: Option<MeshPeer>,
) -> Encrypted {
    let peer_id = peer_id(&facts, mesh.as_ref());
    // Nothing that an unverified certificate says may be passed on.
    let peer = facts.peer.filter(|peer| peer.verified);
    let own = mesh.as_ref().and_then(|mesh| mesh.own.clone());
    let certificate = peer.as_ref().map(|peer| ClientCertificate::new(peer.der.clone(), own));
    Encrypted {
        http2: facts.http2,
        facts: Tls {
            mutual: peer.is_some(),
            peer_id,
            server_name: facts.server_name,
            server,
            client_auth,
            mesh,
        },
        certificate,
    }
}
