//! The line of an opaque connection or datagram session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use identity::WorkloadId;
use model::BackendName;
use tokio::time::Instant;

use super::{CoreLog, LogEntry};
use crate::telemetry::flags::Flags;

/// What is found out about a connection on its way; the line is written when this is dropped, whichever way
/// it took.
#[derive(Debug)]
pub struct ConnectionLine<'a> {
    log: &'a CoreLog,
    start: SystemTime,
    begin: Instant,
    /// The client.
    pub remote: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// Label of the rule.
    pub route: Option<Arc<str>>,
    /// SNI.
    pub server_name: Option<Arc<str>>,
    /// SPIFFE ID of the verified client certificate.
    pub spiffe_id: Option<Arc<str>>,
    /// The backend.
    pub backend: Option<BackendName>,
    /// The endpoint.
    pub upstream: Option<SocketAddr>,
    /// Our side towards it.
    pub upstream_local: Option<SocketAddr>,
    /// Envoy's letters. Unless said otherwise the connection was cut by the end of a drain: that is what drops
    /// a connection's task before it has said anything.
    pub flags: Flags,
    /// The verified identity of a meshed endpoint.
    pub upstream_peer: Option<WorkloadId>,
    /// What went wrong on the way to the endpoint.
    pub failure: Option<Arc<str>>,
    /// Why the connection ended.
    pub termination: Option<&'static str>,
    /// Bytes from the client.
    pub bytes_received: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
    /// Endpoints tried after the first.
    pub retries: u32,
}

impl<'a> ConnectionLine<'a> {
    /// A connection that begins now.
    pub fn new(log: &'a CoreLog, remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            log,
            start: SystemTime::now(),
            begin: Instant::now(),
            remote,
            local,
            route: None,
            server_name: None,
            spiffe_id: None,
            backend: None,
            upstream: None,
            upstream_local: None,
            upstream_peer: None,
            flags: Flags::DRAINED,
            failure: None,
            termination: None,
            bytes_received: 0,
            bytes_sent: 0,
            retries: 0,
        }
    }
}

impl Drop for ConnectionLine<'_> {
    fn drop(&mut self) {
        self.log.emit(&LogEntry {
            route: self.route.as_deref(),
            flags: self.flags,
            termination_details: self.termination,
            upstream_failure: self.failure.as_deref(),
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            upstream_address: self.upstream,
            upstream_local_address: self.upstream_local,
            upstream_peer: self.upstream_peer.as_ref().map(WorkloadId::as_str),
            backend: self.backend.as_ref().map(BackendName::as_str),
            local_address: Some(self.local),
            remote_address: Some(self.remote),
            server_name: self.server_name.as_deref(),
            peer_spiffe_id: self.spiffe_id.as_deref(),
            retries: self.retries,
            ..LogEntry::new(self.start, self.begin.elapsed())
        });
    }
}
