//! Endpoints out of EndpointSlices and Pods, case by case.

use serde_json::{Value, json};

use super::*;

fn slice(family: &str, port: Value, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "addressType": family, "metadata": {"name": "s"}, "ports": [port], "endpoints": endpoints,
    }))
    .unwrap()
}

fn http_port() -> Value {
    json!({"name": "http", "port": 3000, "protocol": "TCP"})
}

fn service_port() -> ServicePort {
    serde_json::from_value(json!({"name": "http", "port": 80, "targetPort": 8080})).unwrap()
}

fn shown(set: &EndpointSet) -> Vec<String> {
    let show = |endpoint: &model::Endpoint| {
        let address = match &endpoint.address {
            Address::Ip(ip) => ip.to_string(),
            Address::Name(name) => name.to_string(),
        };
        format!("{address} {}{}", endpoint.port, if endpoint.draining { " draining" } else { "" })
    };
    set.0.iter().map(show).collect()
}

#[test]
fn only_what_serves_is_an_endpoint() {
    let all = json!([
        {"addresses": ["10.0.0.5"], "conditions": {"ready": true}},
        {"addresses": ["10.0.0.4"]},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": false}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        {"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": false, "terminating": true}},
    ]);
    let set = endpoints(&[&slice("IPv4", http_port(), all)], &service_port(), false);
    assert_eq!(shown(&set), ["10.0.0.2 3000 draining", "10.0.0.4 3000", "10.0.0.5 3000"]);
}

#[test]
fn ports_are_found_by_name_and_protocol() {
    let endpoint = json!([{"addresses": ["10.0.0.1"]}]);
    for (port, expected) in [
        (json!({"name": "http", "port": 3000}), vec!["10.0.0.1 3000"]),
        (json!({"name": "http"}), vec!["10.0.0.1 8080"]),
        (json!({"name": "http", "port": 3000, "protocol": "UDP"}), vec![]),
        (json!({"name": "", "port": 3000}), vec![]),
        (json!({"port": 3000}), vec![]),
    ] {
        let set = endpoints(&[&slice("IPv4", port.clone(), endpoint.clone())], &service_port(), false);
        assert_eq!(shown(&set), expected, "{port}");
    }
}

#[test]
fn a_dual_stack_pod_counts_once() {
    let target = json!({"kind": "Pod", "name": "a"});
    let v4 = slice("IPv4", http_port(), json!([{"addresses": ["10.0.0.1"], "targetRef": target}]));
    let others = json!([{"addresses": ["fd00::1"], "targetRef": target}, {"addresses": ["fd00::2"]}]);
    let v6 = slice("IPv6", http_port(), others);
    let both = [&v6, &v4];
    assert_eq!(shown(&endpoints(&both, &service_port(), false)), ["10.0.0.1 3000", "fd00::2 3000"]);
    assert_eq!(shown(&endpoints(&both, &service_port(), true)), ["fd00::1 3000", "fd00::2 3000"]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once() {
    let ready = slice("IPv4", http_port(), json!([{"addresses": ["10.0.0.1"]}]));
    let gone = json!({"ready": false, "serving": true, "terminating": true});
    let old = slice("IPv4", http_port(), json!([{"addresses": ["10.0.0.1"], "conditions": gone}]));
    assert_eq!(shown(&endpoints(&[&old, &ready], &service_port(), false)), ["10.0.0.1 3000"]);
}

#[test]
fn names_are_kept_as_names() {
    let slices = slice("FQDN", http_port(), json!([{"addresses": ["Api.Example.com."], "zone": "a"}]));
    let set = endpoints(&[&slices], &service_port(), false);
    assert_eq!(shown(&set), ["api.example.com 3000"]);
    assert_eq!(&*set.0[0].zone, "a");
}

#[test]
fn pods_count_once_they_are_ready() {
    let pod = |name: &str, ip: &str, ready: &str, gone: Option<&str>| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "deletionTimestamp": gone},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    };
    let all = [
        pod("a", "10.0.0.3", "True", None),
        pod("b", "10.0.0.2", "False", None),
        pod("c", "10.0.0.1", "True", Some("2026-01-01T00:00:00Z")),
    ];
    assert_eq!(shown(&pods(all.iter(), 8080)), ["10.0.0.1 8080 draining", "10.0.0.3 8080"]);
}
