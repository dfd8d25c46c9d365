//! Backends: resolved upstreams, their endpoints, and how to talk to them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Origin, Reach, RetryBudget, SecretName, SessionPersistence, TrustAnchors, is_default, span};

/// A resolved upstream: policy. Its endpoints travel apart ([`crate::Snapshot::endpoints`]).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// The Service or XBackend that it stands for.
    pub origin: Origin,
    /// The port that the reference named.
    pub port: u16,
    /// What the endpoints speak.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: BackendProtocol,
    /// TLS to the endpoints.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: UpstreamTls,
    /// How an endpoint is picked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// Which endpoints are fit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health: Health,
    /// Bounds per proxy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub circuit: Circuit,
    /// Connections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub connection: UpstreamConnection,
    /// A bound on retries over all routes (XBackendTrafficPolicy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudget>,
    /// Session persistence of the backend (XBackend), where the route has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPersistence>,
    /// Field → the object that set it, for `explain`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set_by: BTreeMap<Arc<str>, Origin>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1 in plaintext; over TLS what ALPN settles on of HTTP/2 and HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 (also WebSocket).
    Http1,
    /// HTTP/2: prior knowledge in plaintext (`kubernetes.io/h2c`), ALPN `h2` over TLS. gRPC.
    Http2,
    /// Opaque bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

/// TLS to the endpoints.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpstreamTls {
    /// Plaintext, because nothing asks for TLS.
    #[default]
    Plain,
    /// TLS with a verified peer.
    Tls(ClientTls),
    /// TLS is asked for, but its CA or certificate could not be resolved: no connection is made.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// How the peer is verified and who we are to it (BackendTLSPolicy).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ClientTls {
    /// SNI; also the name to verify if `names` is empty.
    pub server_name: Arc<str>,
    /// What the peer's certificate must chain to.
    pub roots: Roots,
    /// The peer's certificate must carry one of these; empty: `server_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SubjectName>,
    /// Our certificate (GEP-3155), if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<SecretName>,
}

/// What a peer's certificate must chain to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Roots {
    /// The system's roots (`wellKnownCACertificates: System`).
    System,
    /// These.
    Pem(TrustAnchors),
}

/// A subject alternative name to find in a peer's certificate.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubjectName {
    /// A DNS name.
    Dns(Arc<str>),
    /// A URI, compared byte by byte: a SPIFFE ID, say.
    Uri(Arc<str>),
}

/// The endpoints of a backend.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointSet(pub Vec<Endpoint>);

/// One address that answers for a backend.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Port, 1–65535.
    pub port: u16,
    /// Share within the backend; 1 unless said.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// The zone that it runs in; empty if unknown.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub zone: Arc<str>,
    /// Terminating but still serving: used only if nothing better is left (KEP-1669).
    #[serde(default, skip_serializing_if = "is_default")]
    pub draining: bool,
    /// The pod or workload, for logs; empty if unknown.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub workload: Arc<str>,
    /// How it is reached.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reach: Reach,
}

fn one() -> u32 {
    1
}

fn is_one(weight: &u32) -> bool {
    *weight == 1
}

/// An endpoint's address.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A name that the proxy resolves and keeps resolving.
    Name(Arc<str>),
}

/// How an endpoint is picked.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Balance {
    /// The rule.
    pub algorithm: Algorithm,
    /// What ties a client to an endpoint; used by the hashing algorithms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// A new endpoint's share grows over this time; 0 gives it all at once.
    #[serde(with = "span")]
    pub slow_start: Duration,
    /// Prefer endpoints of the proxy's own zone while they are fit.
    #[serde(skip_serializing_if = "is_default")]
    pub prefer_zone: bool,
    /// Zones to try next, in order; they mean something only with `prefer_zone`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failover_zones: Vec<Arc<str>>,
}

/// Balancing rules.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum Algorithm {
    /// By turns, by weight.
    RoundRobin,
    /// The less busy of two picked at random.
    #[default]
    LeastRequest,
    /// The less loaded of two picked at random, by peak-sensitive moving average of latency × requests.
    PeakEwma,
    /// At random, by weight.
    Random,
    /// Consistent hashing on a ring; needs `affinity`.
    RingHash,
    /// Consistent hashing by a Maglev table; needs `affinity`.
    Maglev,
}

/// What ties a client to an endpoint.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Affinity {
    /// The value of a cookie; made and set if absent.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Its path.
        path: Arc<str>,
        /// Its life; none is a session cookie.
        #[serde(with = "span::option")]
        ttl: Option<Duration>,
    },
    /// The value of a request header (lower case).
    Header(Arc<str>),
    /// The value of a query parameter.
    Query(Arc<str>),
    /// The client's address.
    ClientIp,
}

/// Which endpoints are fit.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Asks endpoints itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveHealth>,
    /// Learns from traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Outlier>,
}

/// Active health checks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ActiveHealth {
    /// What is asked.
    pub probe: Probe,
    /// From check to check, jittered by a tenth.
    #[serde(with = "span")]
    pub interval: Duration,
    /// One check.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Successes in a row that make an endpoint fit.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unfit.
    pub unhealthy_threshold: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// A GET; 2xx is success unless `statuses` says otherwise.
    Http {
        /// Path and query.
        path: Arc<str>,
        /// Host header; empty: the endpoint's address.
        host: Arc<str>,
        /// Statuses that are success; empty: 200–299.
        statuses: Vec<u16>,
    },
    /// A connection.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Service name asked for; may be empty.
        service: Arc<str>,
    },
}

/// Passive health: endpoints that answer badly are left out for a while.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// Answers of 500–599 or failed connections in a row; 0 is off.
    pub consecutive_5xx: u32,
    /// First ejection; the n-th lasts n times that, at most ten times.
    #[serde(with = "span")]
    pub ejection: Duration,
    /// At most that share of the endpoints is left out, 0–100.
    pub max_ejected_percent: u32,
}

/// Bounds per proxy and backend; 0 is no limit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circuit {
    /// Connections at once.
    pub connections: u32,
    /// Requests waiting for a connection.
    pub pending: u32,
    /// Requests at once.
    pub requests: u32,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { connections: 1024, pending: 1024, requests: 0 }
    }
}

/// Connections to endpoints.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamConnection {
    /// TCP and TLS together.
    #[serde(with = "span")]
    pub connect_timeout: Duration,
    /// An unused connection is closed after this.
    #[serde(with = "span")]
    pub idle_timeout: Duration,
    /// Requests on one connection before it is closed; 0 is no limit.
    pub max_requests: u32,
    /// PROXY protocol header sent first.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_protocol: SendProxyProtocol,
}

impl Default for UpstreamConnection {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_requests: 0,
            proxy_protocol: SendProxyProtocol::Off,
        }
    }
}

/// PROXY protocol towards endpoints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum SendProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Text form.
    V1,
    /// Binary form.
    V2,
}
