//! Typed look-ups over the inputs, built once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::core::{EndpointSlice, Namespace, Pod};
use api::gateway_api::{BackendTlsPolicy, LabelSelector, ReferenceGrant, XBackendTrafficPolicy};
use api::{Object, ObjectKey};

use crate::grants::{Granted, Grants};
use crate::inputs::Inputs;

/// Look-ups over the inputs.
pub struct Index<'a> {
    inputs: &'a Inputs,
    /// Who may refer across namespaces.
    pub grants: Grants<'a>,
    slices: BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a EndpointSlice>>>,
    pods: BTreeMap<&'a str, BTreeMap<IpAddr, Vec<&'a Pod>>>,
    backend_tls: BTreeMap<ObjectKey, Vec<&'a BackendTlsPolicy>>,
    backend_traffic: BTreeMap<ObjectKey, Vec<&'a XBackendTrafficPolicy>>,
}

impl<'a> Index<'a> {
    /// Builds all look-ups.
    pub fn new(inputs: &'a Inputs) -> Self {
        let mut index = Self {
            inputs,
            grants: Grants::default(),
            slices: BTreeMap::new(),
            pods: BTreeMap::new(),
            backend_tls: BTreeMap::new(),
            backend_traffic: BTreeMap::new(),
        };
        index.grants = Grants::new(index.all::<ReferenceGrant>());
        for slice in index.all::<EndpointSlice>() {
            let labels = slice.metadata.labels.as_ref();
            if let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL)) {
                let by_service = index.slices.entry(slice.namespace()).or_default();
                by_service.entry(service).or_default().push(slice);
            }
        }
        for pod in index.all::<Pod>() {
            let status = pod.status.iter();
            let ips = status.flat_map(|status| {
                let all = status.pod_ips.iter().flatten().map(|known| known.ip.as_str());
                status.pod_ip.as_deref().into_iter().chain(all)
            });
            for ip in ips.filter_map(|ip| ip.parse().ok()) {
                let here = index.pods.entry(pod.namespace()).or_default().entry(ip).or_default();
                if !here.iter().any(|known: &&Pod| known.name() == pod.name()) {
                    here.push(pod);
                }
            }
        }
        for policy in index.all::<BackendTlsPolicy>() {
            for target in &policy.spec.target_refs {
                let key = ObjectKey::new(&target.group, &target.kind, policy.namespace(), &target.name);
                index.backend_tls.entry(key).or_default().push(policy);
            }
        }
        for policy in index.all::<XBackendTrafficPolicy>() {
            for target in &policy.spec.target_refs {
                let key = ObjectKey::new(&target.group, &target.kind, policy.namespace(), &target.name);
                index.backend_traffic.entry(key).or_default().push(policy);
            }
        }
        index
    }

    /// The inputs themselves.
    pub fn inputs(&self) -> &'a Inputs {
        self.inputs
    }

    /// The object of a kind, namespace (empty for a cluster-scoped kind) and name. For references that users
    /// write, ask for a [`Granted`] key and use [`Index::follow`].
    pub fn find<T: Object>(&self, namespace: &str, name: &str) -> Option<&'a T> {
        self.inputs.objects.get(&ObjectKey::of::<T>(namespace, name))?.downcast()
    }

    /// The object that a granted reference leads to, if it exists and is of that kind.
    pub fn follow<T: Object>(&self, reference: &Granted<ObjectKey>) -> Option<&'a T> {
        self.inputs.objects.get(reference.get())?.downcast()
    }

    /// All objects of a kind, by namespace and name.
    pub fn all<T: Object>(&self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let first = ObjectKey::of::<T>("", "");
        self.inputs
            .objects
            .range(first..)
            .take_while(|(key, _)| key.group == T::GROUP && key.kind == T::KIND)
            .filter_map(|(_, object)| object.downcast())
    }

    /// The EndpointSlices of a Service.
    pub fn endpoint_slices(&self, namespace: &str, service: &str) -> &[&'a EndpointSlice] {
        self.slices
            .get(namespace)
            .and_then(|slices| slices.get(service))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The pods of a namespace that have an address.
    pub(crate) fn pods_at(&self, namespace: &str, address: IpAddr) -> &[&'a Pod] {
        let pods = self.pods.get(namespace).and_then(|pods| pods.get(&address));
        pods.map(Vec::as_slice).unwrap_or_default()
    }

    /// BackendTLSPolicies that target an object, by namespace and name.
    pub fn backend_tls_policies(&self, target: &ObjectKey) -> &[&'a BackendTlsPolicy] {
        self.backend_tls.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// XBackendTrafficPolicies that target an object, by namespace and name.
    pub fn backend_traffic_policies(&self, target: &ObjectKey) -> &[&'a XBackendTrafficPolicy] {
        self.backend_traffic.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a label selector selects a namespace. A namespace without an object (a folder of YAML has often
    /// none) has the one label that Kubernetes gives to each.
    pub fn selects_namespace(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let mut labels = BTreeMap::from([(NAMESPACE_NAME_LABEL, namespace)]);
        if let Some(Namespace { metadata, .. }) = self.find::<Namespace>("", namespace) {
            labels.extend(metadata.labels.iter().flatten().map(|(key, value)| (&**key, &**value)));
        }
        selects(selector, &labels)
    }
}

/// Kubernetes' label selector semantics; an unknown operator selects nothing.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<&str, &str>) -> bool {
    let equal = |(key, value): (&String, &String)| labels.get(key.as_str()) == Some(&value.as_str());
    selector.match_labels.iter().flatten().all(equal)
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            let among =
                |value: &&str| requirement.values.iter().flatten().any(|allowed| allowed.as_str() == *value);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(among),
                "NotIn" => !value.is_some_and(among),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(selector: serde_json::Value) -> bool {
        let selector = serde_json::from_value(selector).unwrap();
        selects(&selector, &BTreeMap::from([("tier", "high"), ("team", "a")]))
    }

    #[test]
    fn every_requirement_must_hold() {
        assert!(matches(json!({})));
        assert!(matches(json!({"matchLabels": {"tier": "high", "team": "a"}})));
        assert!(!matches(json!({"matchLabels": {"tier": "high", "team": "b"}})));
        let low = json!([{"key": "tier", "operator": "In", "values": ["low"]}]);
        assert!(!matches(json!({"matchLabels": {"team": "a"}, "matchExpressions": low})));
    }

    #[test]
    fn operators_are_those_of_kubernetes() {
        for (operator, key, values, expected) in [
            ("In", "tier", json!(["low", "high"]), true),
            ("In", "absent", json!(["high"]), false),
            ("NotIn", "tier", json!(["high"]), false),
            ("NotIn", "absent", json!(["high"]), true),
            ("Exists", "tier", json!(null), true),
            ("Exists", "absent", json!(null), false),
            ("DoesNotExist", "absent", json!(null), true),
            ("DoesNotExist", "tier", json!(null), false),
            ("Near", "tier", json!(["high"]), false),
        ] {
            let requirement = json!([{"key": key, "operator": operator, "values": values}]);
            assert_eq!(matches(json!({"matchExpressions": requirement})), expected, "{operator} {key}");
        }
    }

    #[test]
    fn a_namespace_without_an_object_has_its_name() {
        let inputs = Inputs::default();
        let index = Index::new(&inputs);
        let selector =
            serde_json::from_value(json!({"matchLabels": {"kubernetes.io/metadata.name": "shop"}}));
        let selector = selector.unwrap();
        assert!(index.selects_namespace(&selector, "shop"));
        assert!(!index.selects_namespace(&selector, "till"));
    }
}
