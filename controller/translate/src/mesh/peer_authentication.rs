//! PeerAuthentication: which ports of which pods take no mTLS (Istio, `ComposePeerAuthentication`).

use std::collections::BTreeMap;

use api::Object;
use api::core::Pod;
use api::istio::{MutualTls, MutualTlsMode, PeerAuthentication};

use crate::index::Index;
use crate::policy::age;

/// PeerAuthentications by how far they reach.
#[derive(Default)]
pub(crate) struct PeerAuthentications<'a> {
    /// Of the whole mesh: the oldest without a selector in the root namespace.
    mesh: Option<&'a PeerAuthentication>,
    /// The oldest without a selector of each other namespace.
    namespaces: BTreeMap<&'a str, &'a PeerAuthentication>,
    /// Those with a selector, by namespace, the oldest first. In the root namespace they do not count.
    workloads: BTreeMap<&'a str, Vec<&'a PeerAuthentication>>,
}

impl<'a> PeerAuthentications<'a> {
    /// Sorts all of them.
    pub(crate) fn new(index: &Index<'a>) -> Self {
        let mut all: Vec<&PeerAuthentication> = index.all::<PeerAuthentication>().collect();
        all.sort_by_key(|policy| age(&policy.metadata));
        let mut sorted = Self::default();
        for policy in all {
            let namespace = policy.namespace();
            match (labels(policy).is_empty(), namespace == ROOT_NAMESPACE) {
                (true, true) => _ = sorted.mesh.get_or_insert(policy),
                (true, false) => _ = sorted.namespaces.entry(namespace).or_insert(policy),
                (false, false) => sorted.workloads.entry(namespace).or_default().push(policy),
                (false, true) => {}
            }
        }
        sorted
    }

    /// The policy that says that a port of a pod takes plaintext only, if it is so. The narrowest word counts:
    /// port, pod, namespace, mesh. Without a word both are taken.
    pub(crate) fn disabling(&self, pod: &Pod, port: u16) -> Option<&'a PeerAuthentication> {
        let selects = |policy: &&&PeerAuthentication| {
            let own = pod.metadata.labels.as_ref();
            labels(policy).iter().all(|(key, value)| own.and_then(|own| own.get(*key)) == Some(value))
        };
        let workload = self.workloads.get(pod.namespace()).and_then(|all| all.iter().find(selects)).copied();
        let of_port = workload.and_then(|policy| {
            let (_, setting) =
                policy.spec.port_level_mtls.iter().find(|(number, _)| number.parse() == Ok(port))?;
            Some((policy, mode(Some(setting))?))
        });
        let widening = [workload, self.namespaces.get(pod.namespace()).copied(), self.mesh];
        let of_all = || {
            let mut said = widening.into_iter().flatten();
            said.find_map(|policy| Some((policy, mode(policy.spec.mtls.as_ref())?)))
        };
        let (policy, mode) = of_port.or_else(of_all)?;
        (mode == MutualTlsMode::Disable).then_some(policy)
    }
}

fn labels(policy: &PeerAuthentication) -> BTreeMap<&String, &String> {
    policy.spec.selector.iter().flat_map(|selector| &selector.match_labels).collect()
}

/// `UNSET` says as much as nothing.
fn mode(setting: Option<&MutualTls>) -> Option<MutualTlsMode> {
    setting.map(|setting| setting.mode).filter(|mode| *mode != MutualTlsMode::Unset)
}

/// MeshConfig `rootNamespace`, which Istio has as a default and hardly anybody changes.
const ROOT_NAMESPACE: &str = "istio-system";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Inputs;

    fn policy(namespace: &str, name: &str, spec: Value) -> PeerAuthentication {
        let value = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        serde_json::from_value(value).unwrap()
    }

    /// The name of the policy that disables a port of a pod `app: a` in namespace `shop`.
    fn disabling(policies: Vec<PeerAuthentication>, port: u16) -> Option<String> {
        let inputs = Inputs::new(policies.into_iter().map(Into::into));
        let index = Index::new(&inputs);
        let pod = json!({"metadata": {"namespace": "shop", "name": "p", "labels": {"app": "a"}}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        PeerAuthentications::new(&index).disabling(&pod, port).map(|policy| policy.name().to_owned())
    }

    #[test]
    fn the_narrowest_word_counts() {
        let off = json!({"mtls": {"mode": "DISABLE"}});
        let strict = json!({"mtls": {"mode": "STRICT"}});
        let unset = json!({"mtls": {"mode": "UNSET"}});
        let mesh = |spec: &Value| policy("istio-system", "mesh", spec.clone());
        let space = |spec: &Value| policy("shop", "space", spec.clone());
        assert_eq!(disabling(vec![], 80), None);
        assert_eq!(disabling(vec![mesh(&off)], 80).as_deref(), Some("mesh"));
        assert_eq!(disabling(vec![mesh(&off), space(&strict)], 80), None);
        assert_eq!(disabling(vec![mesh(&off), space(&unset)], 80).as_deref(), Some("mesh"));
        assert_eq!(disabling(vec![mesh(&strict), space(&off)], 80).as_deref(), Some("space"));
        assert_eq!(disabling(vec![policy("till", "other", off)], 80), None);
    }

    #[test]
    fn ports_come_before_pods_and_pods_before_namespaces() {
        let select = |labels: Value, mode: &str, ports: Value| json!({"selector": {"matchLabels": labels}, "mtls": {"mode": mode}, "portLevelMtls": ports});
        let space = policy("shop", "space", json!({"mtls": {"mode": "DISABLE"}}));
        let ports = json!({"8080": {"mode": "DISABLE"}, "8081": {"mode": "UNSET"}});
        let own = policy("shop", "own", select(json!({"app": "a"}), "STRICT", ports));
        assert_eq!(disabling(vec![space.clone(), own.clone()], 80), None);
        assert_eq!(disabling(vec![space.clone(), own.clone()], 8080).as_deref(), Some("own"));
        assert_eq!(disabling(vec![space.clone(), own], 8081), None);
        let other = policy("shop", "own", select(json!({"app": "b"}), "STRICT", json!({})));
        assert_eq!(disabling(vec![space, other], 80).as_deref(), Some("space"));
        let root = policy("istio-system", "own", select(json!({"app": "a"}), "DISABLE", json!({})));
        assert_eq!(disabling(vec![root], 80), None);
    }
}
