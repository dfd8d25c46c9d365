//! What is known about a request or connection when it ends.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::telemetry::flags::Flags;
use crate::telemetry::trace::TraceId;

/// One request or connection, at its end. Everything is borrowed: nothing is copied until the line is written.
///
/// `&[u8]` fields hold bytes that came over the wire; they are escaped. Absent values are `null` in JSON
/// and `-` in text.
#[derive(Clone, Copy, Debug)]
pub struct LogEntry<'a> {
    /// When it began, by the wall clock.
    pub start: SystemTime,
    /// From its begin to the last byte.
    pub duration: Duration,
    /// `NAMESPACE/NAME/RULE`: `CompiledRule::label` or `CompiledL4::label`.
    pub route: Option<&'a str>,
    /// Request method.
    pub method: Option<&'a str>,
    /// Path and query as the client sent them.
    pub path: Option<&'a [u8]>,
    /// `HTTP/1.1`, `HTTP/2`; none for opaque connections.
    pub protocol: Option<&'a str>,
    /// HTTP status; 0 for opaque connections and for requests that got none.
    pub status: u16,
    /// Envoy's letters.
    pub flags: Flags,
    /// What exactly decided the status: `via_upstream`, `route_not_found`, …
    pub status_details: Option<&'a str>,
    /// Why the connection ended.
    pub termination_details: Option<&'a str>,
    /// What went wrong on the way to the endpoint.
    pub upstream_failure: Option<&'a str>,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// From the request sent to the first byte of the endpoint's answer.
    pub upstream_time: Option<Duration>,
    /// `X-Forwarded-For` as the endpoint got it.
    pub forwarded_for: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `X-Request-Id`.
    pub request_id: Option<&'a [u8]>,
    /// Host as the client sent it.
    pub authority: Option<&'a [u8]>,
    /// The endpoint.
    pub upstream_address: Option<SocketAddr>,
    /// Our side of the connection to it.
    pub upstream_local_address: Option<SocketAddr>,
    /// The verified identity of a meshed endpoint.
    pub upstream_peer: Option<&'a str>,
    /// Name of the backend.
    pub backend: Option<&'a str>,
    /// Our side of the client's connection.
    pub local_address: Option<SocketAddr>,
    /// The client: from the PROXY header if there was one.
    pub remote_address: Option<SocketAddr>,
    /// SNI.
    pub server_name: Option<&'a str>,
    /// The verified client certificate's SPIFFE ID (of Linkerd, DNS-like name).
    pub peer_spiffe_id: Option<&'a str>,
    /// The trace that the request belongs to.
    pub trace_id: Option<TraceId>,
    /// The policy object that decided, if one did.
    pub policy: Option<&'a str>,
    /// Why it was shed by overload protection.
    pub shed_reason: Option<&'a str>,
    /// Tries at endpoints after the first.
    pub retries: u32,
}

impl LogEntry<'_> {
    /// An entry that knows nothing but when it began and how long it took.
    pub fn new(start: SystemTime, duration: Duration) -> Self {
        Self {
            start,
            duration,
            route: None,
            method: None,
            path: None,
            protocol: None,
            status: 0,
            flags: Flags::NONE,
            status_details: None,
            termination_details: None,
            upstream_failure: None,
            bytes_received: 0,
            bytes_sent: 0,
            upstream_time: None,
            forwarded_for: None,
            user_agent: None,
            request_id: None,
            authority: None,
            upstream_address: None,
            upstream_local_address: None,
            upstream_peer: None,
            backend: None,
            local_address: None,
            remote_address: None,
            server_name: None,
            peer_spiffe_id: None,
            trace_id: None,
            policy: None,
            shed_reason: None,
            retries: 0,
        }
    }
}
