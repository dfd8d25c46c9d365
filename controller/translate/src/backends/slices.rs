//! Endpoints out of EndpointSlices and Pods.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use api::core::{Endpoint, EndpointPort, EndpointSlice, IntOrString, Pod, ServicePort};
use model::{Address, EndpointSet};

/// The endpoints of one port of a Service. A dual-stack pod stands in a slice of each family: it counts once, with
/// the address of the Service's first family.
pub(super) fn endpoints(slices: &[&EndpointSlice], port: &ServicePort, v6_first: bool) -> EndpointSet {
    let order = if v6_first { ["IPv6", "IPv4", "FQDN"] } else { ["IPv4", "IPv6", "FQDN"] };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for family in order {
        let mut here = BTreeSet::new();
        for slice in slices.iter().filter(|slice| slice.address_type == family) {
            let Some(number) = port_number(slice, port) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                let workload = workload(endpoint);
                if !seen.contains(&workload) {
                    found.extend(one(endpoint, family, number, &workload));
                    here.insert(workload);
                }
            }
        }
        // An endpoint without a pod has no other family to be known by.
        seen.extend(here.into_iter().filter(|workload| !workload.is_empty()));
    }
    finish(found)
}

/// The endpoints of Pods that a selector has found.
pub(super) fn pods<'p>(pods: impl Iterator<Item = &'p Pod>, port: u16) -> EndpointSet {
    finish(pods.filter_map(|pod| pod_endpoint(pod, port)).collect())
}

/// The transport of a port; Kubernetes' default is TCP.
pub(super) fn transport(protocol: Option<&str>) -> &str {
    protocol.filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

fn finish(mut found: Vec<model::Endpoint>) -> EndpointSet {
    // A pod that moves from one slice to another may stand in both for a while; the fit one goes first.
    found.sort_by(|a, b| {
        (&a.address, a.port, a.draining).cmp(&(&b.address, b.port, b.draining)).then_with(|| a.cmp(b))
    });
    found.dedup_by(|later, first| later.address == first.address && later.port == first.port);
    EndpointSet(found)
}

/// The number of the slice's port of the same name. A slice port without a number leaves it to the Service.
fn port_number(slice: &EndpointSlice, wanted: &ServicePort) -> Option<u16> {
    let same = |port: &&EndpointPort| {
        port.name.as_deref().unwrap_or_default() == wanted.name.as_deref().unwrap_or_default()
            && transport(port.protocol.as_deref()) == transport(wanted.protocol.as_deref())
    };
    let number = match slice.ports.iter().flatten().find(same)?.port {
        Some(number) => number,
        None => match wanted.target_port {
            Some(IntOrString::Int(number)) => number,
            _ => wanted.port,
        },
    };
    u16::try_from(number).ok().filter(|number| *number > 0)
}

fn one(endpoint: &Endpoint, family: &str, port: u16, workload: &Arc<str>) -> Option<model::Endpoint> {
    // EndpointSlice: the addresses of one endpoint are fungible, and clients are to use the first.
    let text = endpoint.addresses.first()?;
    let address = match family {
        "FQDN" => Address::Name(text.trim_end_matches('.').to_ascii_lowercase().into()),
        _ => Address::Ip(text.parse::<IpAddr>().ok()?),
    };
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    // KEP-1669: what is shutting down but still serves is better than nothing.
    let draining = !ready && conditions.terminating == Some(true) && conditions.serving.unwrap_or(false);
    (ready || draining).then(|| model::Endpoint {
        address,
        port,
        weight: 1,
        zone: endpoint.zone.as_deref().unwrap_or_default().into(),
        draining,
        workload: workload.clone(),
        reach: model::Reach::AsBackend,
    })
}

/// The name of the pod; of something else with its kind before it, so that it is not taken for a pod.
fn workload(endpoint: &Endpoint) -> Arc<str> {
    let Some(target) = &endpoint.target_ref else { return "".into() };
    let name = target.name.as_deref().unwrap_or_default();
    match target.kind.as_deref() {
        None | Some("" | "Pod") => name.into(),
        Some(kind) => format!("{kind}/{name}").into(),
    }
}

fn pod_endpoint(pod: &Pod, port: u16) -> Option<model::Endpoint> {
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.as_deref()?.parse::<IpAddr>().ok()?;
    let ready =
        status.conditions.iter().flatten().any(|known| known.type_ == "Ready" && known.status == "True");
    let zone = pod.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE_LABEL));
    ready.then(|| model::Endpoint {
        address: Address::Ip(address),
        port,
        weight: 1,
        zone: zone.map(String::as_str).unwrap_or_default().into(),
        draining: pod.metadata.deletion_timestamp.is_some(),
        workload: pod.metadata.name.as_deref().unwrap_or_default().into(),
        reach: model::Reach::AsBackend,
    })
}

/// Kubernetes copies the node's zone to its pods (KEP-4742).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

#[cfg(test)]
mod tests;
