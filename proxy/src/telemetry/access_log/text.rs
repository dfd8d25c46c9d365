//! The text form of a line: Istio's default format, in Envoy's order.

use std::fmt::Display;
use std::io::Write;

use super::entry::LogEntry;
use super::json::millis;
use super::{escape, timestamp};

/// Appends one line with its line feed.
pub(super) fn write(out: &mut Vec<u8>, entry: &LogEntry<'_>) {
    out.push(b'[');
    timestamp::write(out, entry.start);
    out.extend_from_slice(b"] \"");
    bare(out, entry.method.map(str::as_bytes));
    out.push(b' ');
    bare(out, entry.path);
    out.push(b' ');
    bare(out, entry.protocol.map(str::as_bytes));
    let _ = write!(out, "\" {} {} ", entry.status, entry.flags);
    bare(out, entry.status_details.map(str::as_bytes));
    out.push(b' ');
    bare(out, entry.termination_details.map(str::as_bytes));
    out.push(b' ');
    quoted(out, entry.upstream_failure.map(str::as_bytes));
    let _ = write!(out, " {} {} {} ", entry.bytes_received, entry.bytes_sent, millis(entry.duration));
    shown(out, entry.upstream_time.map(millis));
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

fn shown(out: &mut Vec<u8>, value: Option<impl Display>) {
    let _ = match value {
        Some(value) => write!(out, "{value}"),
        None => write!(out, "-"),
    };
}
