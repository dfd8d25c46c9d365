//! A socket: what arrives on it, how TLS is ended, whom it believes, how much it takes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    Filter, HostPattern, IdentityName, L4Rule, MeshClients, Origin, PeerMatch, RouteTableName, SecretName,
    is_default, span,
};

/// One port of one Gateway: all Gateway API listeners that share it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// The Gateway that owns the socket.
    pub gateway: Origin,
    /// Addresses to listen on; empty means the proxy's default (`--bind`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The port, 1–65535.
    pub port: u16,
    /// What is spoken on the port.
    pub protocol: Protocol,
    /// Who may connect, how, how much.
    #[serde(default, skip_serializing_if = "is_default")]
    pub connection: ConnectionPolicy,
}

/// What is spoken on a port.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// Plaintext HTTP/1.1 and HTTP/2 (prior knowledge and upgrade). The most specific host pattern that
    /// matches the request's host owns it (Gateway API listener isolation).
    Http(BTreeMap<HostPattern, HttpServer>),
    /// TLS. The most specific host pattern that matches the SNI owns the connection.
    Tls(BTreeMap<HostPattern, TlsServer>),
    /// Opaque TCP. None: no route is attached, connections are closed.
    Tcp(Option<L4Rule>),
    /// Datagrams. None: no route is attached, datagrams are dropped.
    Udp(Option<L4Rule>),
}

/// A Gateway API listener that speaks HTTP.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HttpServer {
    /// The Gateway or ListenerSet that wrote it.
    pub owner: Origin,
    /// The listener's name there (`sectionName`).
    pub section: Arc<str>,
    /// The port as the user wrote it: redirects and `X-Forwarded-Port` name this one.
    pub port: u16,
    /// Its routes.
    pub routes: RouteTableName,
    /// Filters that run before a route is matched (GEP-5224), in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// A Gateway API listener of protocol HTTPS or TLS.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsServer {
    /// TLS ends here.
    Terminate {
        /// Certificates, versions, client certificates.
        tls: ServerTls,
        /// What is inside.
        inner: TlsInner,
    },
    /// TLS goes through untouched; the SNI picks the route.
    Passthrough(BTreeMap<HostPattern, L4Rule>),
    /// The listener's certificate or CA could not be resolved: handshakes are refused.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// What a terminated TLS connection carries.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsInner {
    /// HTTP/1.1 or HTTP/2 by ALPN (listener protocol HTTPS).
    Http(HttpServer),
    /// Opaque bytes, routed by SNI (TLSRoute on a listener with `tls.mode: Terminate`).
    Tcp(BTreeMap<HostPattern, L4Rule>),
}

/// How TLS is ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ServerTls {
    /// One or more key pairs; the first whose certificate fits the SNI and the client's signature schemes is
    /// served, else the first. Empty where `svid` is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<SecretName>,
    /// The gateway's own SVID is served instead of a certificate (`tls.options["diolkos.io/certificate"]: mesh`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svid: Option<IdentityName>,
    /// Lowest version offered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_version: TlsVersion,
    /// What the client must show.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client_auth: ClientAuth,
}

/// TLS protocol versions; older ones are not spoken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2, AEAD suites only.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Client certificates (GEP-91 `frontendValidation`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// A certificate that chains to these roots is demanded (`AllowValidOnly`).
    Require(TrustAnchors),
    /// A certificate is asked for; a missing or invalid one is let in unverified (`AllowInsecureFallback`).
    InsecureFallback(TrustAnchors),
    /// A mesh peer's SVID.
    Mesh(MeshClients),
    /// The CA could not be resolved: every handshake is refused.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// CA certificates as PEM text. Public, so not a [`crate::Secret`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustAnchors(pub Arc<str>);

/// The downstream connection: who may connect, how, how much (ListenerPolicy).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionPolicy {
    /// PROXY protocol.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_protocol: ProxyProtocol,
    /// Whose forwarding headers are believed.
    #[serde(skip_serializing_if = "is_default")]
    pub forwarded: Forwarded,
    /// Mesh peers on a listener of protocol HTTP or TCP: TLS is looked for. (On HTTPS and TLS listeners
    /// [`ServerTls::client_auth`] says it.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshClients>,
    /// Bounds.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: ListenerLimits,
    /// Field → the object that set it, for `explain`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_by: BTreeMap<Arc<str>, Origin>,
}

/// PROXY protocol v1 and v2 from the load balancer in front.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// Whether a header is looked for.
    pub mode: ProxyProtocolMode,
    /// Peers that may send one. Empty: nobody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<IpNet>,
}

/// Whether a PROXY header is looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum ProxyProtocolMode {
    /// Never: a header is just bytes, and so a bad request.
    #[default]
    Off,
    /// A trusted peer may send one; others are plain connections.
    Optional,
    /// Only trusted peers may connect, and each must send one.
    Required,
}

/// Whose `X-Forwarded-*` and `Forwarded` are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forwarded {
    /// Proxies in front that append to `X-Forwarded-For`: that many entries from the right are believed.
    pub trusted_hops: u32,
    /// Peers whose headers are believed. With `trusted_hops` 0, addresses in here are skipped from the right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<IpNet>,
    /// Mesh peers whose headers are believed, wherever they connect from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_peers: Vec<PeerMatch>,
    /// What becomes of `X-Forwarded-Client-Cert`.
    #[serde(skip_serializing_if = "is_default")]
    pub client_cert: ClientCertHeader,
}

/// `X-Forwarded-Client-Cert`, Envoy's `forward_client_cert_details`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum ClientCertHeader {
    /// Removed.
    #[default]
    Sanitize,
    /// Replaced by the facts of this connection's client certificate.
    SanitizeSet,
    /// This connection's facts are appended to a trusted peer's header.
    AppendForward,
    /// Left alone if the peer is trusted.
    ForwardOnly,
}

/// Bounds of one listener; the defaults are `ListenerLimits::default()`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerLimits {
    /// Connections at once over all cores; 0 leaves only the proxy-wide limit.
    pub connections: u32,
    /// Requests on one connection before it is closed; 0 is no limit.
    pub requests_per_connection: u32,
    /// Bytes of a request's header section (HTTP/2: header list size).
    pub header_bytes: u32,
    /// Header fields of a request.
    pub headers: u32,
    /// Bytes of a request target.
    pub uri_bytes: u32,
    /// HTTP/2 streams at once on a connection.
    pub streams: u32,
    /// From the first byte awaited to the end of the header section.
    #[serde(with = "span")]
    pub header_timeout: Duration,
    /// From accept to the end of the TLS handshake.
    #[serde(with = "span")]
    pub handshake_timeout: Duration,
    /// No stream and no byte: the connection is closed.
    #[serde(with = "span")]
    pub idle_timeout: Duration,
    /// The longest life of a connection; 0 is no limit.
    #[serde(with = "span")]
    pub max_age: Duration,
}

impl Default for ListenerLimits {
    /// The edge defaults of Envoy's hardening page, tightened where HTTP/2 attacks taught so.
    fn default() -> Self {
        Self {
            connections: 0,
            requests_per_connection: 0,
            header_bytes: 32 * 1024,
            headers: 100,
            uri_bytes: 8 * 1024,
            streams: 100,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(300),
            max_age: Duration::ZERO,
        }
    }
}
