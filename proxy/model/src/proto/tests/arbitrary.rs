//! Arbitrary snapshots, drawn from bytes: each byte is a choice, and choices run out into the simplest value, so
//! that shorter input is a smaller snapshot.

mod mesh;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::{
    Action, ActiveHealth, Address, Affinity, Algorithm, Backend, BackendName, BackendProtocol, BackendRef,
    Balance, Buffer, Circuit, ClientAuth, ClientCertHeader, ClientTls, ConnectionPolicy, Cors, Endpoint,
    EndpointSet, ExternalAuth, ExternalAuthProtocol, Filter, Forward, Forwarded, GatewaySettings, HeaderEdit,
    HeaderField, HeaderMatch, Health, HostPattern, HttpServer, KeyPair, L4Rule, Listener, ListenerLimits,
    ListenerName, Match, Mirror, Origin, Outlier, PathMatch, PathRewrite, Probe, Protocol, ProxyProtocol,
    ProxyProtocolMode, QueryMatch, Redirect, Retry, RetryBudget, Rewrite, Roots, RouteMatch, RouteTable,
    RouteTableName, Rule, Secret, SecretName, SendProxyProtocol, ServerTls, SessionCarrier,
    SessionPersistence, Snapshot, SubjectName, Timeouts, TlsInner, TlsServer, TlsVersion, TrustAnchors,
    TrustDomainName, UpstreamConnection, UpstreamTls, ValueMatch, WeightedBackend,
};

pub(super) struct Source<'a>(Iter<'a, u8>);

impl<'a> Source<'a> {
    pub(super) fn new(choices: &'a [u8]) -> Self {
        Self(choices.iter())
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(super) fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }

    pub(super) fn option<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    pub(super) fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn map<K: Ord, V>(
        &mut self,
        key: impl Fn(&mut Self) -> K,
        value: impl Fn(&mut Self) -> V,
    ) -> BTreeMap<K, V> {
        self.list(|s| (key(s), value(s))).into_iter().collect()
    }

    fn number(&mut self) -> u32 {
        match self.below(4) {
            0 => 0,
            1 => self.byte().into(),
            2 => u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            _ => u32::MAX,
        }
    }

    fn size(&mut self) -> u64 {
        let factor = self.pick(&[1, 1 << 32, u64::MAX >> 32]);
        u64::from(self.number()).saturating_mul(factor)
    }

    fn place(&mut self) -> usize {
        self.size() as usize
    }

    fn within(&mut self, low: u32, high: u32) -> u32 {
        match self.below(3) {
            0 => low,
            1 => high,
            _ => low + self.number() % (high - low + 1),
        }
    }

    fn port(&mut self) -> u16 {
        self.within(1, 65535) as u16
    }

    fn status(&mut self, low: u32) -> u16 {
        self.within(low, 599) as u16
    }

    pub(super) fn text(&mut self) -> Arc<str> {
        self.pick(&["", "a", "/a/b?c", "Ünï\u{0}\n\"", "*", "x-header", "(?i)a+"]).into()
    }

    pub(super) fn word(&mut self) -> Arc<str> {
        format!("{}{}", self.pick(&["a", "shop/cart", "é", "*"]), self.byte()).into()
    }

    pub(super) fn span(&mut self) -> Duration {
        let nanos = self.pick(&[0, 1, 1_000_000, 999_999_999]);
        match self.below(3) {
            0 => Duration::new(0, nanos),
            1 => Duration::new(self.number().into(), nanos),
            _ => Duration::new(i64::MAX as u64, nanos),
        }
    }

    fn address(&mut self) -> IpAddr {
        let low = self.number();
        match self.below(3) {
            0 => Ipv4Addr::from(low).into(),
            1 => Ipv6Addr::from(u128::from(low) << 80 | u128::from(self.number())).into(),
            _ => Ipv4Addr::from(low).to_ipv6_mapped().into(),
        }
    }

    fn network(&mut self) -> IpNet {
        let address = self.address();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, self.within(0, bits) as u8).unwrap()
    }

    fn host(&mut self) -> HostPattern {
        let text =
            self.pick(&["*", "example.com", "*.example.com", "a-b.example", "*.com", "_x.a", "localhost"]);
        text.parse().unwrap()
    }

    pub(super) fn origin(&mut self) -> Origin {
        Origin::new(self.word(), self.text(), self.word())
    }

    fn set_by(&mut self) -> BTreeMap<Arc<str>, Origin> {
        self.map(Self::text, Self::origin)
    }

    fn backend_name(&mut self) -> BackendName {
        BackendName::new(self.word())
    }

    pub(super) fn secret_name(&mut self) -> SecretName {
        SecretName::new(self.word())
    }

    pub(super) fn anchors(&mut self) -> TrustAnchors {
        TrustAnchors(self.word())
    }
}

pub(super) fn snapshot(s: &mut Source<'_>) -> Snapshot {
    Snapshot {
        listeners: s.map(|s| ListenerName::new(s.word()), listener),
        routes: s.map(|s| RouteTableName::new(s.word()), |s| Arc::new(table(s))),
        backends: s.map(Source::backend_name, |s| Arc::new(backend(s))),
        endpoints: s.map(Source::backend_name, |s| Arc::new(EndpointSet(s.list(endpoint)))),
        secrets: s.map(Source::secret_name, |s| Arc::new(key_pair(s))),
        identities: s.map(mesh::identity_name, |s| Arc::new(mesh::identity(s))),
        trust_domains: s.map(|s| TrustDomainName::new(s.word()), |s| Arc::new(mesh::domain(s))),
        settings: settings(s),
    }
}

fn settings(s: &mut Source<'_>) -> GatewaySettings {
    GatewaySettings {
        drain_delay: s.option(Source::span),
        drain_deadline: s.option(Source::span),
        access_log_text: s.flag(),
        tracing_otlp: s.option(Source::text),
        tracing_per_10_000: s.within(0, 10_000),
        memory_limit: s.size(),
        connection_limit: s.number(),
    }
}

fn key_pair(s: &mut Source<'_>) -> KeyPair {
    KeyPair { certificate_chain: s.word(), private_key: Secret::new(s.word()) }
}

fn listener(s: &mut Source<'_>) -> Listener {
    Listener {
        gateway: s.origin(),
        addresses: s.list(Source::address),
        port: s.port(),
        protocol: match s.below(4) {
            0 => Protocol::Http(s.map(Source::host, server)),
            1 => Protocol::Tls(s.map(Source::host, tls_server)),
            2 => Protocol::Tcp(s.option(l4)),
            _ => Protocol::Udp(s.option(l4)),
        },
        connection: ConnectionPolicy {
            proxy_protocol: ProxyProtocol {
                mode: s.pick(&[
                    ProxyProtocolMode::Off,
                    ProxyProtocolMode::Optional,
                    ProxyProtocolMode::Required,
                ]),
                trusted: s.list(Source::network),
            },
            forwarded: Forwarded {
                trusted_hops: s.number(),
                trusted: s.list(Source::network),
                trusted_peers: s.list(mesh::peer),
                client_cert: s.pick(&[
                    ClientCertHeader::Sanitize,
                    ClientCertHeader::SanitizeSet,
                    ClientCertHeader::AppendForward,
                    ClientCertHeader::ForwardOnly,
                ]),
            },
            mesh: s.option(mesh::clients),
            limits: limits(s),
            set_by: s.set_by(),
        },
    }
}

fn limits(s: &mut Source<'_>) -> ListenerLimits {
    ListenerLimits {
        connections: s.number(),
        requests_per_connection: s.number(),
        header_bytes: s.number(),
        headers: s.number(),
        uri_bytes: s.number(),
        streams: s.number(),
        header_timeout: s.span(),
        handshake_timeout: s.span(),
        idle_timeout: s.span(),
        max_age: s.span(),
    }
}

fn server(s: &mut Source<'_>) -> HttpServer {
    HttpServer {
        owner: s.origin(),
        section: s.word(),
        port: s.port(),
        routes: RouteTableName::new(s.word()),
        filters: s.list(filter),
    }
}

fn tls_server(s: &mut Source<'_>) -> TlsServer {
    match s.below(4) {
        0 => TlsServer::Closed { reason: s.text() },
        1 => TlsServer::Passthrough(s.map(Source::host, l4)),
        _ => TlsServer::Terminate {
            tls: ServerTls {
                certificates: s.list(Source::secret_name),
                svid: s.option(mesh::identity_name),
                min_version: s.pick(&[TlsVersion::V1_2, TlsVersion::V1_3]),
                client_auth: match s.below(5) {
                    0 => ClientAuth::None,
                    1 => ClientAuth::Require(s.anchors()),
                    2 => ClientAuth::InsecureFallback(s.anchors()),
                    3 => ClientAuth::Mesh(mesh::clients(s)),
                    _ => ClientAuth::Closed { reason: s.text() },
                },
            },
            inner: match s.below(2) {
                0 => TlsInner::Http(server(s)),
                _ => TlsInner::Tcp(s.map(Source::host, l4)),
            },
        },
    }
}

fn l4(s: &mut Source<'_>) -> L4Rule {
    L4Rule { origin: s.origin(), backends: s.list(weighted), idle_timeout: s.span() }
}

fn weighted(s: &mut Source<'_>) -> WeightedBackend {
    WeightedBackend { weight: s.within(0, 1_000_000), backend: backend_ref(s), filters: s.list(filter) }
}

fn backend_ref(s: &mut Source<'_>) -> BackendRef {
    match s.below(2) {
        0 => BackendRef::Name(s.backend_name()),
        _ => BackendRef::Invalid { reason: s.text(), status: s.status(400) },
    }
}

fn filter(s: &mut Source<'_>) -> Filter {
    match s.below(8) {
        0 => Filter::RequestHeaders(edit(s)),
        1 => Filter::ResponseHeaders(edit(s)),
        2 => Filter::Rewrite(Rewrite { host: s.option(Source::text), path: s.option(path_rewrite) }),
        3 => Filter::Mirror(Mirror {
            backend: backend_ref(s),
            numerator: s.number(),
            denominator: s.within(1, u32::MAX - 1),
        }),
        4 => Filter::Cors(Cors {
            allow_origins: s.list(Source::text),
            allow_methods: s.list(Source::text),
            allow_headers: s.list(Source::text),
            expose_headers: s.list(Source::text),
            allow_credentials: s.flag(),
            max_age: s.option(Source::span),
        }),
        5 => Filter::ExternalAuth(external_auth(s)),
        6 => Filter::Buffer(Buffer { max_bytes: s.size() }),
        _ => Filter::Closed { reason: s.text(), status: s.status(400) },
    }
}

fn edit(s: &mut Source<'_>) -> HeaderEdit {
    let field = |s: &mut Source<'_>| HeaderField { name: s.text(), value: s.text() };
    HeaderEdit { set: s.list(field), add: s.list(field), remove: s.list(Source::text) }
}

fn path_rewrite(s: &mut Source<'_>) -> PathRewrite {
    match s.below(2) {
        0 => PathRewrite::Full(s.text()),
        _ => PathRewrite::Prefix(s.text()),
    }
}

fn external_auth(s: &mut Source<'_>) -> ExternalAuth {
    ExternalAuth {
        backend: backend_ref(s),
        protocol: match s.below(2) {
            0 => ExternalAuthProtocol::Grpc { allowed_headers: s.list(Source::text) },
            _ => ExternalAuthProtocol::Http {
                path: s.text(),
                allowed_headers: s.list(Source::text),
                allowed_response_headers: s.list(Source::text),
            },
        },
        body_bytes: s.number(),
        timeout: s.span(),
        fail_open: s.flag(),
    }
}

fn table(s: &mut Source<'_>) -> RouteTable {
    let route_match = |s: &mut Source<'_>| RouteMatch { when: when(s), rule: s.place() };
    RouteTable { hosts: s.map(Source::host, |s| s.list(route_match)), rules: s.list(rule) }
}

fn when(s: &mut Source<'_>) -> Match {
    Match {
        path: s.option(|s| match s.below(4) {
            0 => PathMatch::Exact(s.text()),
            1 => PathMatch::SegmentPrefix(s.text()),
            2 => PathMatch::StringPrefix(s.text()),
            _ => PathMatch::Regex(s.text()),
        }),
        method: s.option(Source::text),
        headers: s.list(|s| HeaderMatch { name: s.text(), value: value(s) }),
        query: s.list(|s| QueryMatch { name: s.text(), value: value(s) }),
    }
}

fn value(s: &mut Source<'_>) -> ValueMatch {
    match s.below(4) {
        0 => ValueMatch::Exact(s.text()),
        1 => ValueMatch::Prefix(s.text()),
        2 => ValueMatch::Regex(s.text()),
        _ => ValueMatch::Present,
    }
}

fn rule(s: &mut Source<'_>) -> Rule {
    Rule {
        origin: s.origin(),
        index: s.place(),
        name: s.option(Source::text),
        filters: s.list(filter),
        action: match s.below(3) {
            0 => Action::Forward(Forward {
                backends: s.list(weighted),
                timeouts: Timeouts {
                    request: s.option(Source::span),
                    backend_request: s.option(Source::span),
                    idle: s.option(Source::span),
                },
                retry: s.option(retry),
                session: s.option(session),
            }),
            1 => Action::Redirect(Redirect {
                scheme: s.option(Source::text),
                host: s.option(Source::text),
                port: s.option(Source::port),
                path: s.option(path_rewrite),
                status: s.pick(&[301, 302, 303, 307, 308]),
            }),
            _ => Action::Respond { status: s.status(200), body: s.text() },
        },
        set_by: s.set_by(),
    }
}

fn retry(s: &mut Source<'_>) -> Retry {
    Retry {
        attempts: s.number(),
        codes: s.list(|s| s.status(400)),
        connect_failure: s.flag(),
        reset: s.flag(),
        backoff: s.span(),
        budget: s.option(budget),
    }
}

fn budget(s: &mut Source<'_>) -> RetryBudget {
    RetryBudget { percent: s.number(), min_per_second: s.number(), interval: s.span() }
}

fn session(s: &mut Source<'_>) -> SessionPersistence {
    SessionPersistence {
        carrier: match s.below(2) {
            0 => SessionCarrier::Cookie { name: s.word(), path: s.text(), permanent: s.flag() },
            _ => SessionCarrier::Header(s.word()),
        },
        idle_timeout: s.option(Source::span),
        absolute_timeout: s.option(Source::span),
    }
}

fn backend(s: &mut Source<'_>) -> Backend {
    use BackendProtocol::{Auto, Http1, Http2, Tcp, Udp};
    Backend {
        origin: s.origin(),
        port: s.port(),
        protocol: s.pick(&[Auto, Http1, Http2, Tcp, Udp]),
        tls: match s.below(3) {
            0 => UpstreamTls::Plain,
            1 => UpstreamTls::Closed { reason: s.text() },
            _ => UpstreamTls::Tls(client_tls(s)),
        },
        balance: balance(s),
        health: health(s),
        circuit: Circuit { connections: s.number(), pending: s.number(), requests: s.number() },
        connection: UpstreamConnection {
            connect_timeout: s.span(),
            idle_timeout: s.span(),
            max_requests: s.number(),
            proxy_protocol: s.pick(&[SendProxyProtocol::Off, SendProxyProtocol::V1, SendProxyProtocol::V2]),
        },
        retry_budget: s.option(budget),
        session: s.option(session),
        set_by: s.set_by(),
    }
}

fn client_tls(s: &mut Source<'_>) -> ClientTls {
    ClientTls {
        server_name: s.word(),
        roots: match s.below(2) {
            0 => Roots::System,
            _ => Roots::Pem(s.anchors()),
        },
        names: s.list(|s| match s.below(2) {
            0 => SubjectName::Dns(s.word()),
            _ => SubjectName::Uri(s.word()),
        }),
        certificate: s.option(Source::secret_name),
    }
}

fn balance(s: &mut Source<'_>) -> Balance {
    use Algorithm::{LeastRequest, Maglev, PeakEwma, Random, RingHash, RoundRobin};
    Balance {
        algorithm: s.pick(&[LeastRequest, RoundRobin, PeakEwma, Random, RingHash, Maglev]),
        affinity: s.option(|s| match s.below(4) {
            0 => Affinity::ClientIp,
            1 => Affinity::Header(s.word()),
            2 => Affinity::Query(s.word()),
            _ => Affinity::Cookie { name: s.word(), path: s.text(), ttl: s.option(Source::span) },
        }),
        slow_start: s.span(),
        prefer_zone: s.flag(),
        failover_zones: s.list(Source::text),
    }
}

fn health(s: &mut Source<'_>) -> Health {
    Health {
        active: s.option(|s| ActiveHealth {
            probe: match s.below(3) {
                0 => Probe::Tcp,
                1 => Probe::Grpc { service: s.text() },
                _ => Probe::Http { path: s.text(), host: s.text(), statuses: s.list(|s| s.status(100)) },
            },
            interval: s.span(),
            timeout: s.span(),
            healthy_threshold: s.number(),
            unhealthy_threshold: s.number(),
        }),
        outlier: s.option(|s| Outlier {
            consecutive_5xx: s.number(),
            ejection: s.span(),
            max_ejected_percent: s.within(0, 100),
        }),
    }
}

fn endpoint(s: &mut Source<'_>) -> Endpoint {
    Endpoint {
        address: match s.below(2) {
            0 => Address::Ip(s.address()),
            _ => Address::Name(s.word()),
        },
        port: s.port(),
        weight: s.number(),
        zone: s.text(),
        draining: s.flag(),
        workload: s.text(),
        reach: mesh::reach(s),
    }
}
