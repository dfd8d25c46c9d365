//! W3C baggage: the members by which meshes name a workload are only believed from believed peers.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Keys that Istio's and OpenTelemetry's workload metadata use.
const IDENTITY: [&str; 5] = ["k8s.", "cloud.", "service.", "app.", "container."];

/// Removes the identity members; leaves the field out if nothing else is left.
pub(super) fn strip_identity(headers: &mut HeaderMap, name: &HeaderName) {
    let foreign = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(names_workload);
    if !headers.get_all(name).iter().any(foreign) {
        return;
    }
    let mut kept: Vec<u8> = Vec::new();
    for value in headers.get_all(name) {
        for member in value.as_bytes().split(|byte| *byte == b',').filter(|member| !names_workload(member)) {
            if !kept.is_empty() {
                kept.push(b',');
            }
            kept.extend_from_slice(member.trim_ascii());
        }
    }
    headers.remove(name);
    if let Ok(value) = HeaderValue::from_bytes(&kept)
        && !kept.is_empty()
    {
        headers.insert(name, value);
    }
}

fn names_workload(member: &[u8]) -> bool {
    let key = member.trim_ascii_start();
    IDENTITY.iter().any(|prefix| {
        key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}
