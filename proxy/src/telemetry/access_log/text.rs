//! The text form of a line: Istio's default format, in Envoy's order.

use std::net::SocketAddr;

use super::entry::LogEntry;
use super::json::{flags, millis};
use super::timestamp::Clock;
use super::{escape, number};

/// Appends one line with its line feed.
pub(super) fn write(out: &mut Vec<u8>, clock: &mut Clock, entry: &LogEntry<'_>) {
    out.push(b'[');
    clock.write(out, entry.start);
    out.extend_from_slice(b"] \"");
    bare(out, entry.method.map(str::as_bytes));
    out.push(b' ');
    bare(out, entry.path);
    out.push(b' ');
    bare(out, entry.protocol.map(str::as_bytes));
    out.extend_from_slice(b"\" ");
    number::decimal(out, entry.status.into());
    out.push(b' ');
    flags(out, entry.flags);
    out.push(b' ');
    bare(out, entry.status_details.map(str::as_bytes));
    out.push(b' ');
    bare(out, entry.termination_details.map(str::as_bytes));
    out.push(b' ');
    quoted(out, entry.upstream_failure.map(str::as_bytes));
    for value in [entry.bytes_received, entry.bytes_sent, millis(entry.duration)] {
        out.push(b' ');
        number::decimal(out, value);
    }
    out.push(b' ');
    match entry.upstream_time {
        Some(time) => number::decimal(out, millis(time)),
        None => out.push(b'-'),
    }
    for value in [entry.forwarded_for, entry.user_agent, entry.request_id, entry.authority] {
        out.push(b' ');
        quoted(out, value);
    }
    out.extend_from_slice(b" \"");
    shown(out, entry.upstream_address);
    out.extend_from_slice(b"\" ");
    bare(out, entry.backend.map(str::as_bytes));
    for address in [entry.upstream_local_address, entry.local_address, entry.remote_address] {
        out.push(b' ');
        shown(out, address);
    }
    out.push(b' ');
    bare(out, entry.server_name.map(str::as_bytes));
    out.push(b' ');
    bare(out, entry.route.map(str::as_bytes));
    out.push(b'\n');
}

fn bare(out: &mut Vec<u8>, value: Option<&[u8]>) {
    escape::text(out, value.unwrap_or(b"-"));
}

fn quoted(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(b'"');
    bare(out, value);
    out.push(b'"');
}

fn shown(out: &mut Vec<u8>, value: Option<SocketAddr>) {
    match value {
        Some(address) => number::address(out, address),
        None => out.push(b'-'),
    }
}
