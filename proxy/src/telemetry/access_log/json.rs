//! The JSON form of a line: Istio's field set, then ours.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::entry::LogEntry;
use super::timestamp::Clock;
use super::{escape, number};
use crate::telemetry::flags::Flags;

/// Appends one object and a line feed.
pub(super) fn write(out: &mut Vec<u8>, clock: &mut Clock, entry: &LogEntry<'_>) {
    out.extend_from_slice(b"{\"start_time\":\"");
    clock.write(out, entry.start);
    out.push(b'"');
    text(out, "route_name", entry.route.map(str::as_bytes));
    text(out, "method", entry.method.map(str::as_bytes));
    text(out, "path", entry.path);
    text(out, "protocol", entry.protocol.map(str::as_bytes));
    number(out, "response_code", u64::from(entry.status));
    key(out, "response_flags");
    out.push(b'"');
    flags(out, entry.flags);
    out.push(b'"');
    text(out, "response_code_details", entry.status_details.map(str::as_bytes));
    text(out, "connection_termination_details", entry.termination_details.map(str::as_bytes));
    text(out, "upstream_transport_failure_reason", entry.upstream_failure.map(str::as_bytes));
    number(out, "bytes_received", entry.bytes_received);
    number(out, "bytes_sent", entry.bytes_sent);
    number(out, "duration", millis(entry.duration));
    match entry.upstream_time {
        Some(time) => number(out, "upstream_service_time", millis(time)),
        None => text(out, "upstream_service_time", None),
    }
    text(out, "x_forwarded_for", entry.forwarded_for);
    text(out, "user_agent", entry.user_agent);
    text(out, "request_id", entry.request_id);
    text(out, "authority", entry.authority);
    address(out, "upstream_host", entry.upstream_address);
    text(out, "upstream_cluster", entry.backend.map(str::as_bytes));
    address(out, "upstream_local_address", entry.upstream_local_address);
    address(out, "downstream_local_address", entry.local_address);
    address(out, "downstream_remote_address", entry.remote_address);
    text(out, "requested_server_name", entry.server_name.map(str::as_bytes));
    own(out, entry);
    out.extend_from_slice(b"}\n");
}

/// Fields that Istio does not have are left out when they say nothing.
fn own(out: &mut Vec<u8>, entry: &LogEntry<'_>) {
    for (name, value) in [
        ("peer_spiffe_id", entry.peer_spiffe_id),
        ("upstream_peer_spiffe_id", entry.upstream_peer),
        ("policy", entry.policy),
        ("shed_reason", entry.shed_reason),
    ] {
        if value.is_some() {
            text(out, name, value.map(str::as_bytes));
        }
    }
    if let Some(trace) = entry.trace_id {
        key(out, "trace_id");
        let _ = write!(out, "\"{trace}\"");
    }
    if entry.retries > 0 {
        number(out, "retries", u64::from(entry.retries));
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    key(out, name);
    match value {
        Some(value) => {
            out.push(b'"');
            escape::json(out, value);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    number::decimal(out, value);
}

fn address(out: &mut Vec<u8>, name: &str, value: Option<SocketAddr>) {
    key(out, name);
    match value {
        Some(address) => {
            out.push(b'"');
            number::address(out, address);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// `UF,URX`, or `-` for none.
pub(super) fn flags(out: &mut Vec<u8>, flags: Flags) {
    if flags.is_empty() {
        out.push(b'-');
    } else {
        let _ = write!(out, "{flags}");
    }
}

/// Whole milliseconds, as Envoy writes them.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
