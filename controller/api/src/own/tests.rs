//! Own kinds: what they read, what their CRDs say.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    AutoOr, BackendPolicy, Cidr, GatewayParameters, LATER, LATER_KINDS, ListenerPolicy, ProxyProtocolMode,
    Quantity, RetryOn, TargetSelector, TlsVersion, TrafficPolicy, crds, later_field, later_kind,
};
use crate::decode::decode;
use crate::duration::Duration;
use crate::object::{AnyObject, KindInfo, Object};

fn read<T: Object>(spec: Value) -> T {
    let value =
        json!({"apiVersion": T::api_version(), "kind": T::KIND, "metadata": {"name": "a"}, "spec": spec});
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_examples_of_the_api_are_read() {
    let policy: ListenerPolicy = read(json!({
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "sectionName": "https"}],
        "proxyProtocol": {"mode": "Required", "trusted": ["10.0.0.0/8"]},
        "forwarded": {"trustedHops": 1, "trusted": ["10.0.0.0/8"], "clientCert": "SanitizeSet"},
        "tls": {"minVersion": "1.3"},
        "limits": {"connections": 10000, "headerBytes": "32Ki", "headerTimeout": "10s", "idleTimeout": "300s"},
    }));
    let limits = policy.spec.limits.clone().unwrap();
    assert_eq!(limits.header_bytes.map(Quantity::bytes), Some(32 * 1024));
    assert_eq!(limits.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(
        policy.spec.proxy_protocol.as_ref().and_then(|proxy| proxy.mode),
        Some(ProxyProtocolMode::Required)
    );
    assert_eq!(policy.spec.tls.as_ref().and_then(|tls| tls.min_version), Some(TlsVersion::V1_3));

    let policy: TrafficPolicy = read(json!({
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "api"}],
        "enforce": true,
        "authentication": {"external": {"backendRef": {"name": "authz", "port": 9000}, "protocol": "GRPC", "failOpen": false}},
        "headers": {"request": {"set": [{"name": "x-edge", "value": "central"}], "remove": ["x-debug"]}},
        "timeouts": {"request": "15s", "idle": "60s", "perTry": "2s"},
        "retry": {"attempts": 2, "on": ["connect-failure", "refused-stream", "503"], "backoff": "25ms",
                  "budget": {"percent": 20, "minPerSecond": 10}},
        "buffer": {"max": "1Mi"},
    }));
    assert_eq!(
        policy.spec.retry.and_then(|retry| retry.on),
        Some(vec![RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Status(503)])
    );
    assert_eq!(
        policy.spec.authentication.and_then(|auth| auth.external).unwrap().backend_ref.kind,
        "Service"
    );

    let policy: BackendPolicy = read(json!({
        "targetRefs": [{"kind": "Service", "name": "cart"}],
        "loadBalancer": {"algorithm": "PeakEwma", "slowStart": "30s", "zones": {"prefer": true, "failover": ["zone-b"]}},
        "health": {"active": {"http": {"path": "/healthz", "interval": "5s"}},
                   "outlier": {"consecutive5xx": 5, "ejection": "30s", "maxEjectedPercent": 50}},
        "circuit": {"connections": 1024, "pending": 1024, "requests": 0},
        "connection": {"connectTimeout": "5s", "idleTimeout": "60s", "protocol": "Auto", "proxyProtocol": "Off"},
    }));
    let health = policy.spec.health.clone().unwrap();
    assert_eq!(health.active.unwrap().http.unwrap().schedule.interval, Some(Duration::from_secs(5)));
    assert_eq!(health.outlier.unwrap().consecutive_5xx, Some(5));

    let parameters: GatewayParameters = read(json!({
        "drain": {"delay": "15s", "deadline": "45s"},
        "telemetry": {"accessLog": {"format": "json"}, "tracing": {"otlp": "otel-collector:4317", "percent": 1}},
        "limits": {"memory": "512Mi", "connections": "auto"},
    }));
    let limits = parameters.spec.limits.unwrap();
    assert_eq!(limits.memory, Some(AutoOr::Exactly(Quantity::from_bytes(512 << 20))));
    assert_eq!(limits.connections, Some(AutoOr::Auto));
}

#[test]
fn an_empty_object_of_each_kind_is_valid_and_says_nothing() {
    for kind in [
        "ListenerPolicy",
        "TrafficPolicy",
        "BackendPolicy",
        "GatewayParameters",
        "WorkloadRegistration",
        "FederatedTrustDomain",
    ] {
        for spec in [json!({}), Value::Null] {
            let mut value =
                json!({"apiVersion": "diolkos.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}});
            if !spec.is_null() {
                value["spec"] = spec;
            }
            let object = AnyObject::from_value(value).unwrap();
            assert_eq!(object.to_value().unwrap()["spec"], json!({}), "{kind}");
        }
    }
}

#[test]
fn sizes_and_ranges_are_read_and_written() {
    for (text, bytes, written) in [
        ("0", 0, "0"),
        ("65536", 65536, "64Ki"),
        ("1k", 1000, "1000"),
        ("1Mi", 1 << 20, "1Mi"),
        ("2Gi", 2 << 30, "2Gi"),
    ] {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!((quantity.bytes(), quantity.to_string().as_str()), (bytes, written));
    }
    assert_eq!(serde_json::from_value::<Quantity>(json!(1024)).unwrap().to_string(), "1Ki");
    for text in ["", "Ki", "1.5Mi", "-1", "1KiB", "99999999999999999999", "99999999999999999Gi"] {
        assert!(text.parse::<Quantity>().is_err(), "{text}");
    }
    assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
    assert_eq!("fd00::1".parse::<Cidr>().unwrap().to_string(), "fd00::1/128");
    assert!("10.0.0.0/33".parse::<Cidr>().is_err());
    assert!("6xx".parse::<RetryOn>().is_err() && "399".parse::<RetryOn>().is_err());
}

#[test]
fn a_selector_without_labels_means_every_object() {
    let mut selector: TargetSelector = serde_json::from_value(json!({"kind": "HTTPRoute"})).unwrap();
    assert_eq!(selector.group, "gateway.networking.k8s.io");
    assert!(selector.matches(None));
    selector.match_labels.insert("team".into(), "shop".into());
    assert!(!selector.matches(None));
    assert!(selector.matches(Some(&[("team".into(), "shop".into()), ("a".into(), "b".into())].into())));
}

#[test]
fn crds_say_what_the_kinds_say() {
    for crd in crds() {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let info = KindInfo::find(&text("/spec/group"), &text("/spec/names/kind")).unwrap();
        assert_eq!(text("/spec/names/plural"), info.plural);
        assert_eq!(text("/spec/versions/0/name"), info.versions[0]);
        assert_eq!(text("/spec/scope") == "Namespaced", info.namespaced);
        assert_eq!(crd.pointer("/spec/names/categories"), Some(&json!(["diolkos"])));
        assert_structural(crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap(), info.kind);
    }
}

/// Every field has a description and a type that Kubernetes knows.
fn assert_structural(schema: &Value, path: &str) {
    let known = ["object", "array", "string", "boolean", "integer", "number"];
    let int_or_string = schema["x-kubernetes-int-or-string"] == json!(true);
    assert!(
        int_or_string || known.contains(&schema["type"].as_str().unwrap_or_default()),
        "{path}: {schema}"
    );
    let formats = ["int32", "int64", "double", "float", "date-time", ""];
    assert!(formats.contains(&schema["format"].as_str().unwrap_or_default()), "{path}: {schema}");
    for word in ["$ref", "oneOf", "anyOf", "allOf", "nullable"] {
        assert!(schema.get(word).is_none(), "{path} has {word}: {schema}");
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let prose = field["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(
            prose || path.contains(".status.") || path.ends_with(".metadata"),
            "{path} has no description"
        );
        if !path.ends_with(".metadata") {
            assert_structural(field, &path);
        }
    }
    if let Some(items) = schema.get("items") {
        assert_structural(items, &format!("{path}[]"));
    }
}

#[test]
fn what_comes_later_is_no_field_and_no_kind_now() {
    let crds = crds();
    for later in LATER {
        let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == json!(later.kind)).unwrap();
        let mut schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        let (parents, field) = later.path.rsplit_once('.').unwrap();
        for parent in parents.split('.') {
            schema = &schema["properties"][parent];
            assert!(schema.is_object(), "{} has no {parents}", later.kind);
        }
        assert!(schema["properties"].get(field).is_none(), "{} has {}", later.kind, later.path);
    }
    let names: BTreeSet<_> = LATER_KINDS.iter().map(|later| (later.group, later.kind)).collect();
    assert!(names.iter().all(|(group, kind)| KindInfo::find(group, kind).is_none()));
}

#[test]
fn later_fields_are_found_however_deep() {
    let found = later_field("TrafficPolicy", "spec.rateLimit.local[0].requests").unwrap();
    assert_eq!(found.path, "spec.rateLimit");
    assert!(later_field("TrafficPolicy", "spec.rateLimits").is_none());
    assert!(later_field("BackendPolicy", "spec.rateLimit").is_none());
    assert!(later_kind("networking.istio.io", "VirtualService").is_some());
    assert!(later_kind("apps", "Deployment").is_none());
}

/// The problems of an own object with this spec, as shown, without line and column.
fn refused(kind: &str, spec: Value) -> Vec<String> {
    let mut value =
        json!({"apiVersion": "diolkos.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    if KindInfo::find("diolkos.io", kind).is_none_or(|info| info.namespaced) {
        value["metadata"]["namespace"] = json!("b");
    }
    let documents = decode("a.json", &value.to_string());
    let problems = documents.into_iter().flat_map(|document| document.result.err().unwrap_or_default());
    problems.map(|problem| format!("{}: {} ({})", problem.path, problem.message, problem.mend)).collect()
}

#[test]
fn what_comes_later_is_refused_by_name() {
    assert_eq!(
        refused("TrafficPolicy", json!({"rateLimit": {"local": []}, "timeouts": {"request": "1s"}})),
        ["spec.rateLimit: rate limits are not implemented yet (Remove it)"]
    );
    assert_eq!(
        refused("GatewayParameters", json!({"telemetry": {"accessLog": {"redact": ["authorization"]}}})),
        [
            "spec.telemetry.accessLog.redact: redaction lists are not implemented yet (Remove it: only the headers of the standard form are logged)"
        ]
    );
    assert_eq!(
        refused("ShardPlan", json!({})),
        ["kind: shards are not implemented yet (Remove it: one process serves every Gateway)"]
    );
}

#[test]
fn rules_say_the_mend() {
    let gateway = "gateway.networking.k8s.io";
    for (kind, spec, mend) in [
        (
            "ListenerPolicy",
            json!({"targetRefs": [{"kind": "Gateway", "name": "edge"}]}),
            "attaches to group gateway.networking.k8s.io",
        ),
        (
            "ListenerPolicy",
            json!({"proxyProtocol": {"mode": "Required"}}),
            "name the load balancer's addresses in trusted",
        ),
        (
            "TrafficPolicy",
            json!({"targetSelectors": [{"group": gateway, "kind": "TCPRoute"}]}),
            "selects group gateway.networking.k8s.io",
        ),
        (
            "TrafficPolicy",
            json!({"cors": {"allowOrigins": ["*", "https://a.example"]}}),
            "keep one or the other",
        ),
        (
            "TrafficPolicy",
            json!({"authentication": {"external": {"backendRef": {"name": "authz"}}}}),
            "port is needed for a Service",
        ),
        (
            "TrafficPolicy",
            json!({"authentication": {"external": {"backendRef": {"name": "authz", "port": 1}, "http": {"path": "/a"}}}}),
            "remove it or set protocol: HTTP",
        ),
        (
            "BackendPolicy",
            json!({"targetRefs": [{"group": gateway, "kind": "Gateway", "name": "edge"}]}),
            "attaches to kind Service",
        ),
        (
            "BackendPolicy",
            json!({"health": {"active": {"http": {}, "tcp": {}}}}),
            "exactly one of http, tcp, grpc",
        ),
        ("BackendPolicy", json!({"loadBalancer": {"affinity": {}}}), "exactly one of cookie, header"),
        (
            "BackendPolicy",
            json!({"loadBalancer": {"algorithm": "Random", "affinity": {"clientIP": {}}}}),
            "needs algorithm RingHash or Maglev",
        ),
    ] {
        let found = refused(kind, spec.clone());
        assert!(found.len() == 1 && found[0].contains(mend), "{kind} {spec}: {found:?}");
    }
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (kind, spec) in [
        ("ListenerPolicy", json!({"limits": {"headerBytes": "32KiB"}})),
        ("ListenerPolicy", json!({"limits": {"headers": 0}})),
        ("ListenerPolicy", json!({"limits": {"connections": 4_294_967_296_u64}})),
        ("ListenerPolicy", json!({"forwarded": {"trusted": ["10.0.0.0/33"]}})),
        ("ListenerPolicy", json!({"tls": {"minVersion": "1.1"}})),
        ("TrafficPolicy", json!({"timeouts": {"request": "1.5s"}})),
        ("TrafficPolicy", json!({"retry": {"on": ["503", "always"]}})),
        ("TrafficPolicy", json!({"headers": {"request": {"remove": ["a b"]}}})),
        ("BackendPolicy", json!({"health": {"outlier": {"maxEjectedPercent": 101}}})),
        ("GatewayParameters", json!({"limits": {"connections": "64Ki"}})),
        ("GatewayParameters", json!({"telemetry": {"tracing": {"percent": 101}}})),
    ] {
        assert_eq!(refused(kind, spec.clone()).len(), 1, "{kind} {spec}");
    }
    for spec in
        [json!({"limits": {"memory": "auto", "connections": 100}}), json!({"limits": {"memory": 1024}})]
    {
        assert_eq!(refused("GatewayParameters", spec), [""; 0]);
    }
}

mod mesh;
