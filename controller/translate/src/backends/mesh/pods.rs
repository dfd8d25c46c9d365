//! The pod behind an endpoint, and Istio's marks on pods.

use std::collections::BTreeMap;

use api::Object;
use api::core::{Namespace, Pod};
use api::gateway_api::ObjectMeta;
use model::{Address, Endpoint};

use crate::index::Index;

/// The pod behind an endpoint.
#[derive(Clone, Copy)]
pub(super) enum Behind<'a> {
    /// This one.
    Pod(&'a Pod),
    /// There is one, but it cannot be told which.
    Unknown {
        /// One that it may be is meshed.
        may_be_meshed: bool,
    },
    /// Nothing speaks of a pod.
    Nobody,
}

/// The pod that the EndpointSlice or selector named; else the one that has the address and the Service's labels.
pub(super) fn behind<'a>(
    index: &Index<'a>,
    namespace: &str,
    selector: Option<&BTreeMap<String, String>>,
    endpoint: &Endpoint,
) -> Behind<'a> {
    if endpoint.workload.contains('/') {
        return Behind::Nobody;
    }
    if !endpoint.workload.is_empty() {
        let pod = index.find::<Pod>(namespace, &endpoint.workload);
        return match pod {
            // A pod that has other addresses is another one than the slice is about.
            Some(pod) if may_have(pod, &endpoint.address) => Behind::Pod(pod),
            Some(pod) => Behind::Unknown { may_be_meshed: is_meshed(pod, index) },
            None => Behind::Unknown { may_be_meshed: false },
        };
    }
    let Address::Ip(address) = endpoint.address else { return Behind::Nobody };
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { return Behind::Nobody };
    let selected = |pod: &&&Pod| {
        let labels = pod.metadata.labels.as_ref();
        selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let pods: Vec<&Pod> = index.pods_at(namespace, address).iter().filter(selected).copied().collect();
    match pods.as_slice() {
        [] => Behind::Nobody,
        [pod] => Behind::Pod(pod),
        several => Behind::Unknown { may_be_meshed: several.iter().any(|pod| is_meshed(pod, index)) },
    }
}

/// Istio's injector sets it.
pub(super) fn has_sidecar(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("security.istio.io/tlsMode")).is_some_and(|mode| mode == "istio")
}

/// Istio: the CNI plugin notes on the pod that it redirects its traffic; before that labels ask for it, the pod's own
/// before its namespace's.
pub(super) fn is_ambient(pod: &Pod, index: &Index<'_>) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let redirected = annotations.and_then(|annotations| annotations.get("ambient.istio.io/redirection"));
    if redirected.is_some_and(|state| state == "enabled") {
        return true;
    }
    fn mode(metadata: &ObjectMeta) -> Option<&String> {
        metadata.labels.as_ref().and_then(|labels| labels.get("istio.io/dataplane-mode"))
    }
    let of_namespace = || mode(&index.find::<Namespace>("", pod.namespace())?.metadata);
    mode(&pod.metadata).or_else(of_namespace).is_some_and(|mode| mode == "ambient")
}

fn is_meshed(pod: &Pod, index: &Index<'_>) -> bool {
    has_sidecar(pod) || is_ambient(pod, index)
}

/// Whether a pod has an address, or none of its addresses is known.
fn may_have(pod: &Pod, address: &Address) -> bool {
    let (Some(status), Address::Ip(address)) = (&pod.status, address) else { return true };
    let others = status.pod_ips.iter().flatten().map(|known| known.ip.as_str());
    let mut known = status.pod_ip.as_deref().into_iter().chain(others).peekable();
    known.peek().is_none() || known.any(|known| known.parse() == Ok(*address))
}
