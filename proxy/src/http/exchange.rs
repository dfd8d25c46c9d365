//! One request and its answer, from the first byte to the last: what is noted on the way, and told once at the end.
//! Performance-critical path.
//!
//! The exchange is dropped when nothing more will happen, on whichever path: then the access log gets its one
//! line and the metrics their one record.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use super::body::Meter;
use super::connection::Connection;
use super::core::Live;
use super::error::Error;
use super::forwarded::X_FORWARDED_FOR;
use crate::compiled::CompiledRule;
use crate::overload::ShedReason;
use crate::telemetry::access_log::LogEntry;
use crate::telemetry::flags::Flags;
use crate::telemetry::metrics::{RequestRecord, RouteMetrics};
use crate::telemetry::trace::{SpanContext, SpanFacts, TraceId, trace_id};
use crate::upstream::{BackendHandle, Picked, UpstreamError};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The connection.
    pub(crate) connection: Rc<Connection>,
    /// The generation that the request began with.
    pub(crate) live: Rc<Live>,
    /// When it began.
    pub(crate) start: Instant,
    /// The endpoint, counted as busy until the end.
    pub(crate) picked: Option<Picked>,
    /// The request body's books, if there is one.
    pub(crate) meter: Option<Rc<Meter>>,
    /// Tries after the first.
    pub(crate) retries: u32,
    /// The request is gRPC.
    pub(crate) grpc: bool,
    line: Option<Line>,
    /// Boxed: mostly there is none, and every request would carry the room.
    span: Option<Box<SpanContext>>,
    rule: Option<Arc<str>>,
    #[expect(clippy::redundant_allocation, reason = "a core counts its own users without atomics")]
    metrics: Option<Rc<Arc<RouteMetrics>>>,
    version: Version,
    status: u16,
    grpc_status: Option<u8>,
    flags: Flags,
    details: &'static str,
    failure: Option<Arc<str>>,
    received: u64,
    sent: u64,
    complete: bool,
}

/// What the log line tells of the request itself. References to bytes that the request shares, no copies.
#[derive(Debug)]
struct Line {
    method: Method,
    target: Option<PathAndQuery>,
    authority: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
    trace: Option<TraceId>,
}

impl Exchange {
    pub(crate) fn begin(connection: Rc<Connection>, live: Rc<Live>, parts: &Parts) -> Self {
        let told = connection.core.log.enabled() || connection.core.tracer.enabled();
        let line = told.then(|| Line {
            method: parts.method.clone(),
            target: parts.uri.path_and_query().cloned(),
            authority: authority(parts),
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            request_id: None,
            forwarded_for: None,
            trace: None,
        });
        Self {
            connection,
            live,
            start: Instant::now(),
            picked: None,
            meter: None,
            retries: 0,
            grpc: false,
            line,
            span: None,
            rule: None,
            metrics: None,
            version: parts.version,
            status: 0,
            grpc_status: None,
            flags: Flags::NONE,
            details: "",
            failure: None,
            received: 0,
            sent: 0,
            complete: false,
        }
    }

    /// Begins the span, and notes what the endpoint will read.
    pub(crate) fn note_announced(&mut self, headers: &mut HeaderMap) {
        self.span = self.connection.core.tracer.begin(headers).map(Box::new);
        if let Some(line) = &mut self.line {
            line.trace = self.span.as_ref().map(|span| span.trace_id()).or_else(|| trace_id(headers));
            line.request_id = headers.get(X_REQUEST_ID).cloned();
            line.forwarded_for = headers.get(X_FORWARDED_FOR).cloned();
        }
    }

    /// Notes the rule, and the backend once it is known.
    pub(crate) fn note_route(&mut self, rule: &Arc<CompiledRule>, backend: Option<&Arc<BackendHandle>>) {
        if self.rule.is_none() {
            self.rule = Some(rule.label.clone());
        }
        self.metrics = Some(self.live.route_metrics(&self.connection.core.metrics, rule, backend));
    }

    /// Notes an error as what decides the answer.
    pub(crate) fn note_error(&mut self, error: &Error) {
        self.flags |= error.flags();
        self.details = error.details();
        if matches!(error, Error::Overload) {
            self.connection.core.metrics.shed(ShedReason::Overload);
        }
        self.failure = match error {
            Error::Upstream(error) => Some(failure(error)),
            Error::InvalidBackend { reason, .. } | Error::ClosedFilter { reason, .. } => Some(reason.clone()),
            Error::Authorization(reason) => Some(reason.clone()),
            _ => self.failure.take(),
        };
    }

    /// Nothing may move for that long, and not longer: the route says so.
    pub(crate) fn allow_idle(&self, idle: Duration) {
        if let Some(meter) = &self.meter {
            meter.limit_idle(idle);
        }
        let stalled = &self.connection.stalled;
        stalled.set(stalled.get().max(idle));
    }

    /// Says what decided the answer.
    pub(crate) fn explain(&mut self, details: &'static str) {
        self.details = details;
    }

    /// Notes a flag.
    pub(crate) fn flag(&mut self, flag: Flags) {
        self.flags |= flag;
    }

    /// Notes the head of the answer; `details` unless an error has said more.
    pub(crate) fn note_head(&mut self, status: StatusCode, headers: &HeaderMap, details: &'static str) {
        self.status = status.as_u16();
        if self.details.is_empty() {
            self.details = details;
        }
        if self.grpc {
            self.note_grpc_status(headers);
        }
    }

    /// Notes the trailers of the answer.
    pub(crate) fn note_trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc {
            self.note_grpc_status(trailers);
        }
    }

    /// Counts bytes of the answer's body.
    pub(crate) fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Counts the bytes of a tunnel.
    pub(crate) fn note_tunnel(&mut self, received: u64, sent: u64) {
        self.received += received;
        self.sent += sent;
    }

    /// The answer is complete.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    fn note_grpc_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.grpc_status = status.to_str().ok().and_then(|status| status.parse().ok());
        }
    }

    fn finish(&mut self) {
        if !self.complete && self.flags.is_empty() {
            let cut = self.connection.cut.get();
            (self.flags, self.details) = if cut.is_empty() {
                (Flags::DOWNSTREAM_TERMINATED, "downstream_remote_disconnect")
            } else {
                (cut, "connection_cut")
            };
        }
        let duration = self.start.elapsed();
        let received = self.received + self.meter.as_ref().map_or(0, |meter| meter.bytes());
        let unrouted = self.connection.core.metrics.unrouted();
        let metrics = self.metrics.as_ref().map_or(unrouted, |metrics| &**metrics);
        metrics.record(&RequestRecord {
            status: self.status,
            flags: self.flags,
            grpc: self.grpc,
            grpc_status: self.grpc_status,
            mutual_tls: self.connection.tls.as_ref().is_some_and(|tls| tls.mutual),
            duration,
            request_bytes: received,
            response_bytes: self.sent,
        });
        self.connection.end_request();
        if let Some(line) = &self.line {
            self.log(line, duration, received);
            if let Some(span) = &self.span {
                self.end_span(span, line, duration);
            }
        }
    }

    fn log(&self, line: &Line, duration: Duration, received: u64) {
        let connection = &*self.connection;
        let attempt = self.picked.as_ref().map(Picked::attempt);
        let tls = connection.tls.as_ref();
        let cut = connection.tie().and_then(|tie| tie.reason()).filter(|_| !self.complete);
        let entry = LogEntry {
            route: self.rule.as_deref(),
            method: Some(line.method.as_str()),
            path: line.target.as_ref().map(|target| target.as_str().as_bytes()),
            protocol: Some(protocol(self.version)),
            status: self.status,
            flags: self.flags,
            status_details: Some(self.details).filter(|details| !details.is_empty()),
            upstream_failure: self.failure.as_deref(),
            bytes_received: received,
            bytes_sent: self.sent,
            upstream_time: attempt.and_then(|attempt| Some(attempt.head?.since(attempt.sent?))),
            forwarded_for: line.forwarded_for.as_ref().map(HeaderValue::as_bytes),
            user_agent: line.user_agent.as_ref().map(HeaderValue::as_bytes),
            request_id: line.request_id.as_ref().map(HeaderValue::as_bytes),
            authority: line.authority.as_ref().map(HeaderValue::as_bytes),
            upstream_address: attempt.and_then(|attempt| attempt.remote),
            upstream_local_address: attempt.and_then(|attempt| attempt.local),
            upstream_peer: attempt
                .and_then(|attempt| attempt.peer.as_ref())
                .map(|peer| peer.peer.id.as_str()),
            termination_details: cut.map(|reason| &**reason),
            backend: self.picked.as_ref().map(|picked| picked.backend().name.as_str()),
            local_address: Some(connection.local),
            remote_address: Some(connection.remote),
            server_name: tls.and_then(|tls| tls.server_name.as_deref()),
            peer_spiffe_id: connection.peer_id(),
            trace_id: line.trace,
            retries: self.retries,
            shed_reason: self.flags.contains(Flags::OVERLOAD).then(|| ShedReason::Overload.as_str()),
            ..LogEntry::new(connection.core.wall(self.start), duration)
        };
        connection.core.log.emit(&entry);
    }

    fn end_span(&self, span: &SpanContext, line: &Line, duration: Duration) {
        let authority = line.authority.as_ref().and_then(|authority| authority.to_str().ok());
        self.connection.core.tracer.end(
            span,
            &SpanFacts {
                start: self.connection.core.wall(self.start),
                duration,
                method: line.method.as_str(),
                scheme: self.connection.client.scheme,
                authority: authority.unwrap_or_default(),
                path: line.target.as_ref().map_or("", PathAndQuery::path),
                version: protocol(self.version).trim_start_matches("HTTP/"),
                route: self.rule.as_deref(),
                backend: self.picked.as_ref().map(|picked| picked.backend().name.as_str()),
                upstream: self.picked.as_ref().and_then(|picked| picked.attempt().remote),
                client: Some(self.connection.remote),
                status: self.status,
                flags: self.flags,
                retries: self.retries,
            },
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Tells the log of a request whose head could not be read; the library has answered it.
pub(crate) fn log_malformed(connection: &Connection, error: &hyper::Error) {
    let too_large = error.is_parse_too_large();
    let tls = connection.tls.as_ref();
    let record = RequestRecord {
        status: if too_large { 431 } else { 400 },
        flags: Flags::DOWNSTREAM_PROTOCOL_ERROR,
        grpc: false,
        grpc_status: None,
        mutual_tls: tls.is_some_and(|tls| tls.mutual),
        duration: Duration::ZERO,
        request_bytes: 0,
        response_bytes: 0,
    };
    connection.core.metrics.unrouted().record(&record);
    connection.core.log.emit(&LogEntry {
        protocol: Some("HTTP/1.1"),
        status: record.status,
        flags: record.flags,
        status_details: Some(if too_large { "request_headers_too_large" } else { "http1.codec_error" }),
        local_address: Some(connection.local),
        remote_address: Some(connection.remote),
        server_name: tls.and_then(|tls| tls.server_name.as_deref()),
        peer_spiffe_id: connection.peer_id(),
        ..LogEntry::new(connection.core.wall(Instant::now()), Duration::ZERO)
    });
}

/// The host as the client wrote it.
fn authority(parts: &Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(header::HOST).cloned(),
    }
}

fn failure(error: &UpstreamError) -> Arc<str> {
    match &error.detail {
        Some(detail) => format!("{}: {detail}", error.kind).into(),
        None => error.kind.to_string().into(),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
