//! From an endpoint to a byte stream: resolve, TCP, PROXY header, TLS, all within the backend's connect timeout.

mod proxy_header;
mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use identity::{ClientTlsConfig, HandshakeError, peer_facts};
use model::{Address, SendProxyProtocol};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mesh::{Before, MeshTarget, Side};
use crate::upstream::circuit::ConnectionPermit;
use crate::upstream::endpoint::{EndpointState, Member, Way};
use crate::upstream::error::{UpstreamError, UpstreamErrorKind};
use crate::upstream::handle::{BackendHandle, BackendTls};
use crate::upstream::pick::ProxySource;
use crate::upstream::resolve::Resolver;
use crate::upstream::stream::{Io, RawStream};

/// What the connection is for; it decides what TLS offers by ALPN.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Purpose {
    /// Requests, by the backend's protocol.
    Requests,
    /// A request that wants an upgrade: HTTP/1.1 alone.
    Upgrade,
    /// Bytes that are not ours to understand.
    Bytes,
}

/// Opens a connection. `source` is told to the endpoint if the backend wants a PROXY header; none says that the
/// connection is the proxy's own.
pub(crate) async fn open(
    backend: &BackendHandle,
    member: &Member,
    resolver: &Resolver,
    source: Option<ProxySource>,
    purpose: Purpose,
    permit: Option<ConnectionPermit>,
) -> Result<RawStream, UpstreamError> {
    // Health checks hold no place and are no traffic.
    let counted = permit.is_some();
    let opening = async {
        // Decided before anything is dialled: what has no way is not connected to at all.
        let wrap = Wrap::of(backend, member, purpose)?;
        let addresses = addresses(&member.state, resolver).await?;
        let mut tcp = tcp::connect(&addresses).await.map_err(|error| connect_error(&error))?;
        let remote = tcp.peer_addr().map_err(|error| connect_error(&error))?;
        let local = tcp.local_addr().ok();
        send_proxy_header(&mut tcp, backend.spec.connection.proxy_protocol, source).await?;
        let (io, tie) = match wrap {
            Wrap::Plain => (Io::Plain(tcp), None),
            Wrap::Tls(tls) => (Io::Tls(handshake(tls, tcp).await?), None),
            Wrap::Mesh { tls, target, before } => {
                let stream = handshake(tls, tcp).await?;
                let session = stream.get_ref().1;
                let profile = target.live.identity().profile();
                let peer = session.peer_certificates().and_then(|chain| peer_facts(chain, profile));
                // The handshake has verified it, so it can be read; if not, nobody is there.
                let peer = peer.ok_or_else(|| UpstreamError::unsent(UpstreamErrorKind::TlsFailed))?;
                let tie = target.live.tie(peer, &before, Side::Upstream, true);
                (Io::Tls(stream), Some(tie))
            }
        };
        Ok(RawStream { io, local, remote, tie, _permit: permit })
    };
    let opened = match tokio::time::timeout(backend.spec.connection.connect_timeout, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(UpstreamError::unsent(UpstreamErrorKind::ConnectTimeout)),
    };
    if counted {
        let metrics = &backend.live.metrics;
        if opened.is_ok() { metrics.connections.inc() } else { metrics.connect_failures.inc() }
    }
    opened
}

/// An endpoint's addresses, a name's in an order that spreads connections over them.
pub(crate) async fn addresses(
    endpoint: &EndpointState,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, UpstreamError> {
    let with_port = |ip: IpAddr| SocketAddr::new(ip, endpoint.port);
    match &endpoint.address {
        Address::Ip(ip) => Ok(vec![with_port(*ip)]),
        Address::Name(name) => match resolver.resolve(name).await {
            Ok(addresses) => {
                let mut addresses: Vec<SocketAddr> = addresses.iter().copied().map(with_port).collect();
                spread(&mut addresses, fastrand::usize(..));
                Ok(addresses)
            }
            Err(reason) => Err(UpstreamError::unsent(UpstreamErrorKind::Resolve).because(reason)),
        },
    }
}

/// Turns each family's addresses by `turns`; the families stay in the resolver's order, for one of them may not
/// be reachable at all.
fn spread(addresses: &mut [SocketAddr], turns: usize) {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let middle = addresses.iter().position(|address| address.is_ipv4() != first_is_v4);
    let (first, second) = addresses.split_at_mut(middle.unwrap_or(addresses.len()));
    for family in [first, second] {
        if let Some(turns) = turns.checked_rem(family.len()) {
            family.rotate_left(turns);
        }
    }
}

impl BackendTls {
    /// What to wrap a connection in; none for plaintext.
    fn config(&self, purpose: Purpose) -> Result<Option<&ClientTlsConfig>, UpstreamError> {
        match (self, purpose) {
            (Self::Plain, _) => Ok(None),
            (Self::Tls { requests, .. }, Purpose::Requests) => Ok(Some(requests)),
            (Self::Tls { upgrade, .. }, Purpose::Upgrade) => Ok(Some(upgrade)),
            (Self::Tls { bytes, .. }, Purpose::Bytes) => Ok(Some(bytes)),
            (Self::Closed { reason }, _) => {
                Err(UpstreamError::unsent(UpstreamErrorKind::TlsClosed(Arc::clone(reason))))
            }
        }
    }
}

/// What a connection is wrapped in.
enum Wrap<'a> {
    Plain,
    Tls(&'a ClientTlsConfig),
    Mesh { tls: &'a ClientTlsConfig, target: &'a Arc<MeshTarget>, before: Before },
}

impl<'a> Wrap<'a> {
    fn of(backend: &'a BackendHandle, member: &'a Member, purpose: Purpose) -> Result<Self, UpstreamError> {
        let closed =
            |reason: &Arc<str>| Err(UpstreamError::unsent(UpstreamErrorKind::TlsClosed(Arc::clone(reason))));
        let target = match &member.way {
            Way::AsBackend => return Ok(backend.tls.config(purpose)?.map_or(Self::Plain, Self::Tls)),
            Way::Closed { reason } => return closed(reason),
            Way::Mesh(target) => target,
        };
        let configs = match &target.configs {
            Ok(configs) => configs,
            Err(reason) => return closed(reason),
        };
        let Some(before) = target.live.before() else {
            target.live.counters().refuse(Side::Upstream, "not_ready");
            return closed(
                &target.live.not_ready().unwrap_or_else(|| "the identity is not ready".into()).into(),
            );
        };
        let tls = match purpose {
            Purpose::Requests => &configs.requests,
            Purpose::Upgrade => &configs.upgrade,
            Purpose::Bytes => &configs.bytes,
        };
        Ok(Self::Mesh { tls, target, before })
    }
}

async fn handshake(
    tls: &ClientTlsConfig,
    tcp: TcpStream,
) -> Result<Box<TlsStream<TcpStream>>, UpstreamError> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    match connector.connect(tls.server_name.clone(), tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            Err(UpstreamError::unsent(UpstreamErrorKind::TlsFailed).because(HandshakeError::from(&error)))
        }
    }
}

async fn send_proxy_header(
    tcp: &mut TcpStream,
    version: SendProxyProtocol,
    source: Option<ProxySource>,
) -> Result<(), UpstreamError> {
    let header = match version {
        SendProxyProtocol::Off => return Ok(()),
        SendProxyProtocol::V1 => proxy_header::v1(source),
        SendProxyProtocol::V2 => proxy_header::v2(source),
    };
    tcp.write_all(&header).await.map_err(|error| connect_error(&error))
}

fn connect_error(error: &std::io::Error) -> UpstreamError {
    let kind = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => UpstreamErrorKind::ConnectRefused,
        std::io::ErrorKind::TimedOut => UpstreamErrorKind::ConnectTimeout,
        _ => UpstreamErrorKind::ConnectOther,
    };
    UpstreamError::unsent(kind).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_is_turned_and_keeps_its_place() {
        let order = |turns: usize| {
            let mut addresses: Vec<SocketAddr> = ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1", "[::3]:1"]
                .map(|address| address.parse().unwrap())
                .to_vec();
            spread(&mut addresses, turns);
            addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(0), ["1.1.1.1", "2.2.2.2", "::1", "::2", "::3"]);
        assert_eq!(order(1), ["2.2.2.2", "1.1.1.1", "::2", "::3", "::1"]);
        assert_eq!(order(5), ["2.2.2.2", "1.1.1.1", "::3", "::1", "::2"]);
        spread(&mut [], 3);
    }
}
