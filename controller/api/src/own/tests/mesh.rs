//! The kinds and fields of the mesh: what they read, what they refuse.

use serde_json::{Value, json};

use super::{read, refused};
use crate::decode::decode;
use crate::object::AnyObject;
use crate::own::{
    BackendMeshMode, BackendPolicy, FederatedTrustDomain, FederationProfile, GatewayParameters,
    ListenerMeshMode, ListenerPolicy, MeshKind, WorkloadRegistration, crds,
};

#[test]
fn the_examples_of_the_api_are_read() {
    let parameters: GatewayParameters = read(json!({"mesh": {
        "kind": "Auto",
        "trustDomain": "cluster.local",
        "identity": {"istioCA": {
            "address": "istiod.istio-system.svc:15012", "root": {"configMap": "istio-ca-root-cert"},
            "clusterID": "Kubernetes", "revision": "", "ttl": "24h",
        }},
    }}));
    let mesh = parameters.spec.mesh.unwrap();
    assert_eq!(mesh.kind, Some(MeshKind::Auto));
    let ca = mesh.identity.unwrap().istio_ca.unwrap();
    assert_eq!(ca.root.unwrap().config_map.as_deref(), Some("istio-ca-root-cert"));

    let policy: ListenerPolicy = read(json!({
        "forwarded": {"trustedPeers": [{"spiffeID": "spiffe://cluster.local/ns/edge/sa/central"}]},
        "mesh": {"mode": "Strict", "peers": [
            {"trustDomain": "cluster.local", "namespace": "shop"},
            {"spiffeID": "spiffe://partner.example/ns/a/sa/b"},
        ]},
    }));
    let mesh = policy.spec.mesh.unwrap();
    assert_eq!((mesh.mode, mesh.peers.unwrap().len()), (Some(ListenerMeshMode::Strict), 2));

    let policy: BackendPolicy = read(json!({"mesh": {"mode": "Auto", "peers": []}}));
    assert_eq!(policy.spec.mesh.unwrap().mode, Some(BackendMeshMode::Auto));

    let registration: WorkloadRegistration = read(json!({
        "spiffeID": "spiffe://cluster.local/ns/vm/sa/reports",
        "selectors": {"unix": {"uid": 1001, "path": "/usr/bin/reports"}},
        "ttl": "1h",
        "dnsNames": ["reports.internal"],
    }));
    assert_eq!(registration.spec.selectors.unwrap().unix.unwrap().uid, Some(1001));

    let domain: FederatedTrustDomain = read(json!({
        "trustDomain": "partner.example",
        "endpoint": {"url": "https://spiffe.partner.example", "profile": "https_spiffe",
                     "serverID": "spiffe://partner.example/bundle"},
        "bootstrap": {"configMap": "partner-bundle"},
    }));
    assert_eq!(domain.spec.endpoint.unwrap().profile, Some(FederationProfile::HttpsSpiffe));
}

#[test]
fn every_source_of_an_identity_is_taken() {
    for identity in [
        json!({"istioCA": {}}),
        json!({"istioCA": {"root": {"wellKnown": "System"}, "revision": "canary", "tokenPath": "/run/token"}}),
        json!({"workloadAPI": {}}),
        json!({"workloadAPI": {"socket": "unix:///run/spire/agent.sock"}}),
        json!({"workloadAPI": {"socket": "tcp://127.0.0.1:8081"}}),
        json!({"workloadAPI": {"socket": "tcp://[::1]:8081"}}),
        json!({"linkerd": {"namespace": "linkerd"}}),
        json!({"files": {"secretName": "gw-svid"}}),
        json!({"files": {"certificatePath": "/c", "keyPath": "/k", "rootsPath": "/r", "crlPath": "/l"}}),
        json!({"builtIn": {"ttl": "24h"}}),
    ] {
        let found = refused("GatewayParameters", json!({"mesh": {"identity": identity}}));
        assert!(found.is_empty(), "{identity}: {found:?}");
    }
}

#[test]
fn rules_say_the_mend() {
    let identity = |identity: Value| json!({"mesh": {"identity": identity}});
    let endpoint = |endpoint: Value| json!({"trustDomain": "a.example", "endpoint": endpoint});
    let id = "spiffe://a.example/b";
    for (kind, spec, mend) in [
        ("GatewayParameters", identity(json!({})), "exactly one of istioCA"),
        ("GatewayParameters", identity(json!({"builtIn": {}, "istioCA": {}})), "exactly one of istioCA"),
        ("GatewayParameters", identity(json!({"builtIn": {"ttl": "0s"}})), "longer than 0s"),
        (
            "GatewayParameters",
            identity(json!({"workloadAPI": {"socket": "/run/a.sock"}})),
            "unix:///ABSOLUTE/PATH",
        ),
        (
            "GatewayParameters",
            identity(json!({"workloadAPI": {"socket": "tcp://localhost:1"}})),
            "tcp://IP:PORT",
        ),
        ("GatewayParameters", identity(json!({"files": {}})), "name either secretName"),
        (
            "GatewayParameters",
            identity(json!({"files": {"secretName": "a", "crlPath": "/l"}})),
            "name either secretName",
        ),
        ("GatewayParameters", identity(json!({"files": {"keyPath": "/k"}})), "all of certificatePath"),
        (
            "GatewayParameters",
            identity(json!({"istioCA": {"root": {"path": "/r", "configMap": "c"}}})),
            "exactly one of configMap",
        ),
        (
            "GatewayParameters",
            json!({"mesh": {"kind": "Istio", "identity": {"linkerd": {}}}}),
            "set kind: Linkerd",
        ),
        ("GatewayParameters", json!({"mesh": {"trustDomain": "Cluster.Local"}}), "in lower case"),
        ("GatewayParameters", json!({"mesh": {"trustDomain": "spiffe://a"}}), "without scheme"),
        ("ListenerPolicy", json!({"mesh": {"peers": [{}]}}), "exactly one of spiffeID and trustDomain"),
        (
            "ListenerPolicy",
            json!({"mesh": {"peers": [{"spiffeID": id, "trustDomain": "a.example"}]}}),
            "exactly one of spiffeID and trustDomain",
        ),
        (
            "ListenerPolicy",
            json!({"mesh": {"peers": [{"spiffeID": id, "namespace": "a"}]}}),
            "namespace goes with trustDomain",
        ),
        ("ListenerPolicy", json!({"mesh": {"mode": "Off", "peers": [{"spiffeID": id}]}}), "say nothing"),
        (
            "ListenerPolicy",
            json!({"mesh": {"peers": [{"spiffeID": "spiffe://a/"}]}}),
            "write it as spiffe://",
        ),
        (
            "ListenerPolicy",
            json!({"forwarded": {"trustedPeers": [{"spiffeID": "spiffe://a/../b"}]}}),
            "write it as spiffe://",
        ),
        ("ListenerPolicy", json!({"mesh": {"peers": [{"regex": ".*"}]}}), "Name them by spiffeID"),
        ("BackendPolicy", json!({"mesh": {"mode": "Hbone"}}), "Hbone and Linkerd are not implemented yet"),
        ("BackendPolicy", json!({"mesh": {"mode": "Linkerd"}}), "Hbone and Linkerd are not implemented yet"),
        ("BackendPolicy", json!({"mesh": {"mode": "Off", "peers": [{"spiffeID": id}]}}), "say nothing"),
        (
            "BackendPolicy",
            json!({"mesh": {"peers": [{"spiffeID": id, "trustDomain": "a.example"}]}}),
            "Name each by spiffeID",
        ),
        ("WorkloadRegistration", json!({"spiffeID": id}), "selectors are needed"),
        ("WorkloadRegistration", json!({"spiffeID": id, "selectors": {}}), "unix or pod"),
        ("WorkloadRegistration", json!({"spiffeID": id, "selectors": {"unix": {}}}), "uid, gid or path"),
        ("WorkloadRegistration", json!({"spiffeID": "spiffe://a.example"}), "write it as spiffe://"),
        ("FederatedTrustDomain", json!({"trustDomain": "a.example"}), "endpoint or bootstrap"),
        ("FederatedTrustDomain", endpoint(json!({"url": "http://a.example"})), "https URL"),
        (
            "FederatedTrustDomain",
            endpoint(json!({"url": "https://u:p@a.example"})),
            "without user information",
        ),
        (
            "FederatedTrustDomain",
            endpoint(json!({"url": "https://a.example/b?c"})),
            "without user information",
        ),
        (
            "FederatedTrustDomain",
            endpoint(json!({"url": "https://a.example", "profile": "https_spiffe"})),
            "serverID goes with profile",
        ),
        (
            "FederatedTrustDomain",
            endpoint(json!({"url": "https://a.example", "serverID": "spiffe://b.example/s"})),
            "serverID goes with profile",
        ),
        (
            "FederatedTrustDomain",
            endpoint(json!({"url": "https://a.example", "profile": "https_spiffe", "serverID": id})),
            "bootstrap is needed",
        ),
    ] {
        let found = refused(kind, spec.clone());
        assert!(found.iter().any(|problem| problem.contains(mend)), "{kind} {spec}: {found:?}");
    }
}

/// An API server refuses a rule that names a field by one of CEL's reserved words; ours would take it.
#[test]
fn rules_escape_reserved_words() {
    fn walk(value: &Value, rules: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                rules.extend(fields.get("rule").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| walk(value, rules));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, rules)),
            _ => {}
        }
    }
    let mut rules = Vec::new();
    crds().iter().for_each(|crd| walk(crd, &mut rules));
    assert!(rules.len() > 30, "only {} rules found", rules.len());
    let words = "namespace|in|as|break|const|continue|else|for|function|if|import|let|loop|package|return";
    let reserved = regex::Regex::new(&format!("[.]({words})\\b")).unwrap();
    let bad: Vec<_> = rules.iter().filter(|rule| reserved.is_match(rule)).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

fn peer_authentication(version: &str, spec: &str) -> Result<AnyObject, Vec<String>> {
    let text = format!(
        "apiVersion: security.istio.io/{version}\nkind: PeerAuthentication\nmetadata: {{name: a, namespace: b}}\nspec: {spec}\n"
    );
    let document = decode("a.yaml", &text).pop().unwrap();
    document
        .result
        .map(|decoded| decoded.object)
        .map_err(|problems| problems.into_iter().map(|problem| problem.message).collect())
}

#[test]
fn peer_authentications_are_read_strictly() {
    for version in ["v1", "v1beta1"] {
        let spec = "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}";
        let Ok(AnyObject::PeerAuthentication(read)) = peer_authentication(version, spec) else {
            panic!("{version} is not read");
        };
        assert_eq!(read.spec.port_level_mtls.keys().collect::<Vec<_>>(), ["8080"]);
    }
    for (spec, message) in [
        ("{mtls: {mode: strict}}", "STRICT"),
        ("{mtls: {mod: STRICT}}", "unknown"),
        ("{portLevelMtls: {8080: {mode: DISABLE}}}", "portLevelMtls requires selector"),
        ("{selector: {matchLabels: {app: a}}, portLevelMtls: {70000: {}}}", "port must be between"),
        ("{selector: {matchLabels: {app: '*'}}}", "wildcard"),
    ] {
        let found = peer_authentication("v1", spec).unwrap_err();
        assert!(found.iter().any(|problem| problem.contains(message)), "{spec}: {found:?}");
    }
}
