//! Kubernetes' own kinds: what its API server fills in, and what it refuses.

use serde_json::{Value, json};

use crate::decode::{Decoded, decode};

/// The decoded object, or its problems as `path: message`.
fn decoded(api_version: &str, kind: &str, name: &str, body: &Value) -> Result<Decoded, Vec<String>> {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    object.as_object_mut().expect("a mapping").extend(body.as_object().expect("a mapping").clone());
    let result = decode("test.json", &object.to_string()).remove(0).result;
    result.map_err(|problems| {
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    })
}

fn good(api_version: &str, kind: &str, body: Value) -> Value {
    let decoded = decoded(api_version, kind, "a", &body)
        .unwrap_or_else(|problems| panic!("{kind} {body}: {problems:?}"));
    decoded.object.to_value().expect("JSON")
}

fn bad(api_version: &str, kind: &str, body: Value, expected: &str) {
    match decoded(api_version, kind, "a", &body) {
        Ok(_) => panic!("{kind} {body} was taken"),
        Err(problems) => assert_eq!(problems, [expected], "{kind} {body}"),
    }
}

#[test]
fn a_service_has_its_defaults() {
    let value = good("v1", "Service", json!({"spec": {"ports": [{"port": 80}]}}));
    assert_eq!(value["metadata"]["namespace"], "default");
    assert_eq!(value["spec"]["type"], "ClusterIP");
    assert_eq!(value["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    good("v1", "Service", json!({"spec": {"clusterIP": "None"}}));
    good("v1", "Service", json!({"spec": {"type": "ExternalName", "externalName": "a.b."}}));
    good(
        "v1",
        "Service",
        json!({"spec": {"ports": [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53, "appProtocol": "kubernetes.io/h2c"}]},
               "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}),
    );
}

#[test]
fn a_service_is_refused_as_the_api_server_does() {
    for (spec, expected) in [
        (json!({}), "spec.ports: is required, but for headless and ExternalName Services"),
        (json!({"ports": [{"port": 0}]}), "spec.ports[0].port: must be between 1 and 65535, is 0"),
        (
            json!({"ports": [{"port": 1}, {"name": "b", "port": 2}]}),
            "spec.ports[0].name: is required where there are several ports",
        ),
        (
            json!({"ports": [{"name": "b", "port": 1}, {"name": "b", "port": 2}]}),
            "spec.ports[1].name: an earlier port is named \"b\"",
        ),
        (
            json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]}),
            "spec.ports[1]: an earlier port has the same protocol and number",
        ),
        (json!({"ports": [{"port": 1, "name": "A"}]}), "spec.ports[0].name: \"A\" is not a DNS label"),
        (
            json!({"ports": [{"port": 1, "protocol": "tcp"}]}),
            "spec.ports[0].protocol: must be one of TCP, UDP, SCTP, is \"tcp\"",
        ),
        (
            json!({"ports": [{"port": 1, "targetPort": "80"}]}),
            "spec.ports[0].targetPort: \"80\" is not a port name",
        ),
        (
            json!({"ports": [{"port": 1, "targetPort": 70000}]}),
            "spec.ports[0].targetPort: must be between 1 and 65535, is 70000",
        ),
        (
            json!({"ports": [{"port": 1, "targetPort": true}]}),
            "spec.ports[0].targetPort: must be an integer or a string, is a boolean",
        ),
        (json!({"ports": [{"port": 1}], "clusterIP": "x"}), "spec.clusterIP: \"x\" is not an IP address"),
        (
            json!({"ports": [{"port": 1}], "type": "Internal"}),
            "spec.type: must be one of ClusterIP, ExternalName, LoadBalancer, NodePort, is \"Internal\"",
        ),
        (
            json!({"type": "ExternalName"}),
            "spec.externalName: is required for a Service of type ExternalName",
        ),
        (json!({"ports": [{"port": 1}], "selectors": {}}), "spec.selectors: unknown field \"selectors\""),
    ] {
        bad("v1", "Service", json!({ "spec": spec }), expected);
    }
    let problems = decoded("v1", "Service", "a.b", &json!({"spec": {"ports": [{"port": 80}]}}))
        .expect_err("not a label");
    assert_eq!(problems, ["metadata.name: \"a.b\" is not a name for this kind"]);
}

#[test]
fn endpoint_slices() {
    let with = |address_type: &str, address: &str| json!({"addressType": address_type, "endpoints": [{"addresses": [address]}], "ports": [{"port": 1}]});
    let value = good("discovery.k8s.io/v1", "EndpointSlice", with("IPv4", "127.0.0.1"));
    assert_eq!(value["ports"], json!([{"name": "", "port": 1, "protocol": "TCP"}]));
    good("discovery.k8s.io/v1", "EndpointSlice", with("IPv6", "::1"));
    good("discovery.k8s.io/v1", "EndpointSlice", with("FQDN", "a.b"));
    good("discovery.k8s.io/v1", "EndpointSlice", json!({"addressType": "IPv4"}));
    for (body, expected) in [
        (with("IPv4", "::1"), "endpoints[0].addresses[0]: \"::1\" is not of addressType IPv4"),
        (with("IP", "::1"), "addressType: must be one of FQDN, IPv4, IPv6, is \"IP\""),
        (json!({"endpoints": []}), "addressType: is required"),
        (
            json!({"addressType": "IPv4", "endpoints": [{"addresses": []}]}),
            "endpoints[0].addresses: must have 1 to 100 entries, has 0",
        ),
        (json!({"addressType": "IPv4", "endpoints": [{}]}), "endpoints[0].addresses: is required"),
        (
            json!({"addressType": "IPv4", "ports": [{"port": 1}, {"port": 2}]}),
            "ports[1].name: an earlier port is named \"\"",
        ),
        (
            json!({"addressType": "IPv4", "ports": [{"port": -1}]}),
            "ports[0].port: must be between 1 and 65535, is -1",
        ),
    ] {
        bad("discovery.k8s.io/v1", "EndpointSlice", body, expected);
    }
}

#[test]
fn secrets_and_config_maps() {
    let value = good("v1", "Secret", json!({"data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "c"}}));
    assert_eq!(value["data"], json!({"a": "YQ==", "b": "Yw=="}));
    assert_eq!(value["type"], "Opaque");
    good(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "x", "tls.key": "y"}}),
    );
    good("v1", "ConfigMap", json!({"data": {"ca.crt": "x"}, "binaryData": {"b": "AA=="}}));
    for (kind, body, expected) in [
        (
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}),
            "data[tls.key]: is required in a Secret of type kubernetes.io/tls",
        ),
        ("Secret", json!({"data": {"a": "not base64"}}), "data.a: \"not base64\" is not base64"),
        ("Secret", json!({"data": {"a b": "YQ=="}}), "data[a b]: \"a b\" is not a key"),
        ("Secret", json!({"data": {"a": 1}}), "data.a: must be a string, is an integer"),
        (
            "ConfigMap",
            json!({"data": {"a": "x"}, "binaryData": {"a": "AA=="}}),
            "binaryData.a: \"a\" is in data too",
        ),
        ("ConfigMap", json!({"data": {"a": true}}), "data.a: must be a string, is a boolean"),
    ] {
        bad("v1", kind, body, expected);
    }
}

#[test]
fn pods_keep_their_status() {
    let value = good(
        "v1",
        "Pod",
        json!({
            "spec": {"containers": [{"name": "web", "image": "x", "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": 0.5, "memory": "1Gi"}}}]},
            "status": {"podIP": "10.0.0.1", "phase": "Running"},
        }),
    );
    assert_eq!(value["status"]["podIP"], "10.0.0.1");
    assert_eq!(value["spec"]["containers"][0]["resources"]["requests"]["cpu"], "0.5");
    for (body, expected) in [
        (json!({"spec": {}}), "spec.containers: is required"),
        (
            json!({"spec": {"containers": [{"name": "A"}]}}),
            "spec.containers[0].name: \"A\" is not a DNS label",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 0}]}]}}),
            "spec.containers[0].ports[0].containerPort: must be between 1 and 65535, is 0",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "imge": "x"}]}}),
            "spec.containers[0].imge: unknown field \"imge\"",
        ),
    ] {
        bad("v1", "Pod", body, expected);
    }
}

#[test]
fn trust_bundles_are_named_after_their_signer() {
    const GROUP: &str = "certificates.k8s.io/v1beta1";
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let spec = |signer: &str| json!({"spec": {"signerName": signer, "trustBundle": pem}});
    assert!(decoded(GROUP, "ClusterTrustBundle", "a.b", &json!({"spec": {"trustBundle": pem}})).is_ok());
    assert!(decoded(GROUP, "ClusterTrustBundle", "a.b:c:d", &spec("a.b/c")).is_ok());
    for (name, body, expected) in [
        ("a", json!({"spec": {"trustBundle": "x"}}), "spec.trustBundle: has no PEM certificate"),
        (
            "a:b",
            json!({"spec": {"trustBundle": pem}}),
            "metadata.name: \"a:b\" is not a name for this bundle",
        ),
        ("a", spec("a.b/c"), "metadata.name: \"a\" is not a name for this bundle"),
        ("a", spec("a.b"), "spec.signerName: \"a.b\" is not a signer's name"),
    ] {
        assert_eq!(decoded(GROUP, "ClusterTrustBundle", name, &body).expect_err("refused"), [expected]);
    }
}

#[test]
fn namespaces_and_service_accounts() {
    good(
        "v1",
        "Namespace",
        json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "status": {"phase": "Active"}}),
    );
    good("v1", "ServiceAccount", json!({"automountServiceAccountToken": false}));
    bad("v1", "ServiceAccount", json!({"spec": {}}), "spec: unknown field \"spec\"");
}
