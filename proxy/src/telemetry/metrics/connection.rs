//! Metrics of connections: listeners, opaque traffic, backends.

use super::cells::{Counter, Gauge};

/// What a listener counts.
#[derive(Debug, Default)]
pub struct ListenerMetrics {
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open.
    pub active: Gauge,
    /// Connections refused at accept, by whatever bound.
    pub refused: Counter,
    /// PROXY headers that were malformed, missing, late or from a peer that is not trusted.
    pub proxy_protocol_errors: Counter,
    /// TLS handshakes completed.
    pub handshakes: Counter,
    /// Connections passed through by SNI.
    pub passthrough: Counter,
    /// TLS handshakes under way.
    pub handshaking: Gauge,
    /// Datagram sessions open.
    pub sessions: Gauge,
    tls_failures: [Counter; TlsFailure::ALL.len()],
    udp_drops: [Counter; UdpDrop::ALL.len()],
}

/// Why a TLS handshake did not complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsFailure {
    /// The client's bytes are no TLS.
    NotTls,
    /// Plaintext where only mesh peers are let in.
    Plaintext,
    /// No listener for the SNI.
    UnknownName,
    /// The listener's certificate or CA is unresolved.
    Closed,
    /// It took too long.
    Timeout,
    /// The client's certificate was missing or not accepted.
    ClientCertificate,
    /// The client refused our certificate, or there is no common version or suite.
    Alert,
    /// The connection broke.
    Broken,
    /// Too many handshakes at once.
    Shed,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UdpDrop {
    /// No route is attached.
    NoRoute,
    /// No healthy endpoint, or the backend is invalid.
    NoEndpoint,
    /// The upstream's socket could not be made or did not take it.
    Upstream,
    /// Overload protection.
    Shed,
    /// The downstream's socket did not take a reply.
    Downstream,
}

impl TlsFailure {
    /// Every failure.
    pub const ALL: [Self; 9] = [
        Self::NotTls,
        Self::Plaintext,
        Self::UnknownName,
        Self::Closed,
        Self::Timeout,
        Self::ClientCertificate,
        Self::Alert,
        Self::Broken,
        Self::Shed,
    ];

    /// As the `reason` label spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Plaintext => "plaintext",
            Self::UnknownName => "unknown_name",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Broken => "broken",
            Self::Shed => "shed",
        }
    }
}

impl UdpDrop {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::NoRoute, Self::NoEndpoint, Self::Upstream, Self::Shed, Self::Downstream];

    /// As the `reason` label spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::Upstream => "upstream",
            Self::Shed => "shed",
            Self::Downstream => "downstream",
        }
    }
}

impl ListenerMetrics {
    /// Counts a handshake that did not complete.
    pub fn tls_failure(&self, failure: TlsFailure) {
        for (counter, known) in self.tls_failures.iter().zip(TlsFailure::ALL) {
            if known == failure {
                counter.inc();
            }
        }
    }

    /// Counts a dropped datagram.
    pub fn udp_drop(&self, reason: UdpDrop) {
        for (counter, known) in self.udp_drops.iter().zip(UdpDrop::ALL) {
            if known == reason {
                counter.inc();
            }
        }
    }

    pub(super) fn tls_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TlsFailure::ALL.into_iter().map(TlsFailure::as_str).zip(self.tls_failures.iter().map(Counter::value))
    }

    pub(super) fn udp_drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        UdpDrop::ALL.into_iter().map(UdpDrop::as_str).zip(self.udp_drops.iter().map(Counter::value))
    }
}

/// What an L4 rule and backend count: Istio's `istio_tcp_*`.
#[derive(Debug, Default)]
pub struct TcpMetrics {
    /// Connections (UDP: sessions) opened to an endpoint.
    pub opened: Counter,
    /// And closed.
    pub closed: Counter,
    /// Bytes to the client.
    pub sent: Counter,
    /// Bytes from the client.
    pub received: Counter,
}

/// What a backend counts; lives as long as the backend's live state.
#[derive(Debug, Default)]
pub struct BackendMetrics {
    /// Connections made.
    pub connections: Counter,
    /// Attempts that failed.
    pub connect_failures: Counter,
    /// Requests and connections refused by a circuit limit.
    pub circuit_open: Counter,
    /// Requests tried again.
    pub retries: Counter,
    /// Ejections by passive health.
    pub ejections: Counter,
}

/// A backend at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct BackendSample<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it counts.
    pub counters: &'a BackendMetrics,
    /// Connections open.
    pub connections: u32,
    /// Requests under way.
    pub requests: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Endpoints known.
    pub endpoints: usize,
    /// Endpoints that are fit.
    pub healthy: usize,
}
