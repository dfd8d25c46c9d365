//! For each rule: an object that holds it, one that breaks it, and what is said of the latter.

use serde_json::{Value, json};

use super::*;
use crate::decode::{Reason, decode};

/// Problems of an object of `kind` with this spec, as `path: message`.
fn problems(kind: &str, spec: &Value) -> Vec<String> {
    let api_version = match kind {
        "XBackend" | "XBackendTrafficPolicy" => "gateway.networking.x-k8s.io/v1alpha1",
        _ => "gateway.networking.k8s.io/v1",
    };
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let problems = decode("test.json", &object.to_string()).remove(0).result.err().unwrap_or_default();
    for problem in &problems {
        assert_eq!(problem.reason, Reason::Rule, "{problem}");
    }
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn check(kind: &str, good: Value, bad: Value, expected: &[&str]) {
    assert_eq!(problems(kind, &good), Vec::<String>::new(), "{kind} {good}");
    assert_eq!(problems(kind, &bad), expected, "{kind} {bad}");
}

fn listeners(listeners: Value) -> Value {
    json!({"gatewayClassName": "diolkos", "listeners": listeners})
}

fn rule(rule: Value) -> Value {
    json!({"rules": [rule]})
}

fn path(kind: &str, value: &str) -> Value {
    rule(json!({"matches": [{"path": {"type": kind, "value": value}}]}))
}

#[test]
fn gateway_listeners() {
    let http = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let https = json!({"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}});
    for (bad, expected) in [
        (
            json!([{"name": "a", "port": 80, "protocol": "HTTP", "tls": {"certificateRefs": [{"name": "cert"}]}}]),
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        ),
        (
            json!([{"name": "a", "port": 80, "protocol": "TCP", "hostname": "a.b"}]),
            "hostname must not be specified for protocols ['TCP', 'UDP']",
        ),
        (
            json!([{"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"mode": "Passthrough"}}]),
            "tls mode must be Terminate for protocol HTTPS",
        ),
        (json!([{"name": "a", "port": 443, "protocol": "TLS"}]), "tls mode must be set for protocol TLS"),
        (
            json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "HTTP"}]),
            "Combination of port, protocol and hostname must be unique for each listener",
        ),
    ] {
        check(
            "Gateway",
            listeners(json!([http, https])),
            listeners(bad),
            &[&format!("spec.listeners: {expected}")],
        );
    }
    check(
        "Gateway",
        listeners(json!([https])),
        listeners(json!([{"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"mode": "Terminate"}}])),
        &["spec.listeners[0].tls: certificateRefs or options must be specified when mode is Terminate"],
    );
}

#[test]
fn gateway_addresses() {
    let with = |addresses: Value| json!({"gatewayClassName": "x", "addresses": addresses, "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]});
    check(
        "Gateway",
        with(json!([{"value": "10.0.0.1"}, {"value": "::1"}, {"type": "Hostname", "value": "a.b"}])),
        with(json!([{"value": "10.0.0.1"}, {"value": "10.0.0.1"}])),
        &["spec.addresses: IPAddress values must be unique"],
    );
    check(
        "Gateway",
        with(
            json!([{"type": "Hostname", "value": "a.b"}, {"type": "Hostname", "value": "b.b"}, {"type": "Hostname"}]),
        ),
        with(json!([{"type": "Hostname", "value": "a.b"}, {"type": "Hostname", "value": "a.b"}])),
        &["spec.addresses: Hostname values must be unique"],
    );
    let not_an_address = "spec.addresses[0]: must be exactly one of: type is \"IPAddress\", value is an IPv4 address or is an IPv6 address; \
                          or type not (is \"IPAddress\")";
    check(
        "Gateway",
        with(json!([{"value": "1.2.3.4"}])),
        with(json!([{"value": "1.1.1"}])),
        &[not_an_address],
    );
    check(
        "Gateway",
        with(json!([{"type": "Hostname", "value": "*.a"}])),
        with(json!([{"type": "Hostname", "value": "a:80"}])),
        &[
            "spec.addresses[0]: Hostname value must be empty or contain only valid characters (matching ^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)",
        ],
    );
}

#[test]
fn route_parents() {
    let with = |parents: Value| json!({"parentRefs": parents});
    check(
        "HTTPRoute",
        with(
            json!([{"name": "a", "sectionName": "x"}, {"name": "a", "sectionName": "y"}, {"name": "a", "namespace": "b"}]),
        ),
        with(json!([{"name": "a", "sectionName": "x"}, {"name": "a"}])),
        &[
            "spec.parentRefs: sectionName or port must be specified when parentRefs includes 2 or more references to the same parent",
        ],
    );
    check(
        "HTTPRoute",
        with(json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}])),
        with(
            json!([{"name": "a", "namespace": "n", "port": 80}, {"name": "a", "namespace": "n", "port": 80}]),
        ),
        &[
            "spec.parentRefs: sectionName or port must be unique when parentRefs includes 2 or more references to the same parent",
        ],
    );
}

#[test]
fn route_paths() {
    for (bad, expected) in [
        (
            "cart",
            vec![
                "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
            ],
        ),
        ("/a//b", vec!["must not contain '//' when type one of ['Exact', 'PathPrefix']"]),
        ("/a/./b", vec!["must not contain '/./' when type one of ['Exact', 'PathPrefix']"]),
        ("/a/../b", vec!["must not contain '/../' when type one of ['Exact', 'PathPrefix']"]),
        ("/a%2fb", vec!["must not contain '%2f' when type one of ['Exact', 'PathPrefix']"]),
        ("/a%2Fb", vec!["must not contain '%2F' when type one of ['Exact', 'PathPrefix']"]),
        ("/a/..", vec!["must not end with '/..' when type one of ['Exact', 'PathPrefix']"]),
        ("/a/.", vec!["must not end with '/.' when type one of ['Exact', 'PathPrefix']"]),
        (
            "/[]",
            vec![
                "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
            ],
        ),
    ] {
        let expected: Vec<String> =
            expected.iter().map(|message| format!("spec.rules[0].matches[0].path: {message}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("HTTPRoute", path("RegularExpression", bad), path("Exact", bad), &expected);
        check("HTTPRoute", path("PathPrefix", "/a%20b"), path("PathPrefix", bad), &expected);
    }
}

#[test]
fn route_filters() {
    let filters = |filters: Value| rule(json!({ "filters": filters }));
    let headers = json!({"add": [{"name": "x", "value": "y"}]});
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}});
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"hostname": "a.b"}});
    for (bad, expected) in [
        (
            json!([{"type": "RequestHeaderModifier"}]),
            "[0]: filter.requestHeaderModifier must be specified for RequestHeaderModifier filter.type",
        ),
        (
            json!([{"type": "URLRewrite", "urlRewrite": {}, "requestHeaderModifier": headers}]),
            "[0]: filter.requestHeaderModifier must be nil if the filter.type is not RequestHeaderModifier",
        ),
        (
            json!([redirect, rewrite]),
            ": May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
        ),
        (
            json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": headers}, {"type": "RequestHeaderModifier", "requestHeaderModifier": headers}]),
            ": RequestHeaderModifier filter cannot be repeated",
        ),
        (json!([redirect, redirect]), ": RequestRedirect filter cannot be repeated"),
        (json!([rewrite, rewrite]), ": URLRewrite filter cannot be repeated"),
        (
            json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, "percent": 5, "fraction": {"numerator": 1}}}]),
            "[0].requestMirror: Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
        ),
        (
            json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, "fraction": {"numerator": 101}}}]),
            "[0].requestMirror.fraction: numerator must be less than or equal to denominator",
        ),
        (
            json!([{"type": "ExternalAuth", "externalAuth": {"protocol": "GRPC", "backendRef": {"name": "a", "port": 1}}}]),
            "[0].externalAuth: grpc must be specified when protocol is set to 'GRPC'",
        ),
        (
            json!([{"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplaceFullPath"}}}]),
            "[0].requestRedirect.path: replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        ),
    ] {
        let good =
            filters(json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": headers}, rewrite]));
        check("HTTPRoute", good, filters(bad), &[&format!("spec.rules[0].filters{expected}")]);
    }
    let cors = |origins: Value| filters(json!([{"type": "CORS", "cors": {"allowOrigins": origins}}]));
    check(
        "HTTPRoute",
        cors(json!(["https://a.b", "https://*.c"])),
        cors(json!(["*", "https://a.b"])),
        &[
            "spec.rules[0].filters[0].cors.allowOrigins: AllowOrigins cannot contain '*' alongside other origins",
        ],
    );
}

#[test]
fn route_rules_as_a_whole() {
    let redirect = json!([{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]);
    let prefix = json!([{"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}}}]);
    let exact = json!([{"path": {"type": "Exact", "value": "/a"}}]);
    let backends = json!([{"name": "a", "port": 80}]);
    check(
        "HTTPRoute",
        rule(json!({ "filters": redirect })),
        rule(json!({"filters": redirect, "backendRefs": backends})),
        &["spec.rules[0]: RequestRedirect filter must not be used together with backendRefs"],
    );
    check(
        "HTTPRoute",
        rule(json!({ "filters": prefix })),
        rule(json!({"filters": prefix, "matches": exact})),
        &[
            "spec.rules[0]: When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        ],
    );
    check(
        "HTTPRoute",
        rule(json!({"timeouts": {"request": "2s", "backendRequest": "2000ms"}})),
        rule(json!({"timeouts": {"request": "1s", "backendRequest": "1001ms"}})),
        &["spec.rules[0].timeouts: backendRequest timeout cannot be longer than request timeout"],
    );
    check(
        "HTTPRoute",
        json!({"rules": [{"name": "a"}, {"name": "b"}, {}, {}]}),
        json!({"rules": [{"name": "a"}, {"name": "a"}]}),
        &["spec.rules: Rule name must be unique within the route"],
    );
    let matching = |count: usize| json!({"matches": (0..count).map(|index| json!({"path": {"value": format!("/{index}")}})).collect::<Vec<_>>()});
    check(
        "HTTPRoute",
        json!({"rules": [matching(64), matching(64)]}),
        json!({"rules": [matching(64), matching(64), {}]}),
        &[
            "spec.rules: While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128",
        ],
    );
    check(
        "HTTPRoute",
        rule(
            json!({"sessionPersistence": {"type": "Cookie", "absoluteTimeout": "1h", "cookie": {"lifetimeType": "Permanent"}}}),
        ),
        rule(json!({"sessionPersistence": {"type": "Cookie", "cookie": {"lifetimeType": "Permanent"}}})),
        &[
            "spec.rules[0].sessionPersistence: AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
        ],
    );
}

#[test]
fn backend_references() {
    let backend = |backend: Value| rule(json!({ "backendRefs": [backend] }));
    check(
        "HTTPRoute",
        backend(json!({"name": "a", "port": 80})),
        backend(json!({"name": "a"})),
        &["spec.rules[0].backendRefs[0]: Must have port for Service reference"],
    );
    check(
        "TCPRoute",
        backend(json!({"group": "gateway.networking.x-k8s.io", "kind": "XBackend", "name": "a"})),
        backend(json!({"group": "gateway.networking.x-k8s.io", "kind": "XBackend", "name": "a", "port": 1})),
        &["spec.rules[0].backendRefs[0]: Must not have port for Backend reference"],
    );
}

#[test]
fn grpc_methods() {
    let method = |method: Value| rule(json!({"matches": [{ "method": method }]}));
    check(
        "GRPCRoute",
        method(json!({"service": "foo.Bar", "method": "Baz"})),
        method(json!({"type": "Exact"})),
        &["spec.rules[0].matches[0].method: One or both of 'service' or 'method' must be specified"],
    );
    check(
        "GRPCRoute",
        method(json!({"service": "[a", "type": "RegularExpression"})),
        method(json!({"service": "[a"})),
        &[
            "spec.rules[0].matches[0].method: service must only contain valid characters (matching ^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$)",
        ],
    );
}

#[test]
fn tls_route_hostnames() {
    let with = |hostnames: Value| json!({"hostnames": hostnames, "rules": [{"backendRefs": [{"name": "a", "port": 1}]}]});
    check(
        "TLSRoute",
        with(json!(["a.b", "*.b"])),
        with(json!(["10.0.0.1"])),
        &["spec.hostnames: Hostnames cannot contain an IP"],
    );
}

#[test]
fn backend_tls_policies() {
    let with = |validation: Value| json!({"targetRefs": [{"group": "", "kind": "Service", "name": "a"}], "validation": validation});
    let good = with(json!({"hostname": "a.b", "wellKnownCACertificates": "System"}));
    let reference = json!([{"group": "", "kind": "ConfigMap", "name": "ca"}]);
    check(
        "BackendTLSPolicy",
        good.clone(),
        with(json!({"hostname": "a.b", "wellKnownCACertificates": "System", "caCertificateRefs": reference})),
        &[
            "spec.validation: exactly one of the fields in [caCertificateRefs wellKnownCACertificates] must be set",
        ],
    );
    let alt = |name: Value| {
        with(json!({"hostname": "a.b", "wellKnownCACertificates": "System", "subjectAltNames": [name]}))
    };
    check(
        "BackendTLSPolicy",
        alt(json!({"type": "URI", "uri": "spiffe://td/x"})),
        alt(json!({"type": "URI", "hostname": "a.b"})),
        &[
            "spec.validation.subjectAltNames[0]: SubjectAltName element must not contain Hostname, if Type is not set to Hostname",
            "spec.validation.subjectAltNames[0]: SubjectAltName element must contain URI, if Type is set to URI",
        ],
    );
    check(
        "BackendTLSPolicy",
        good,
        json!({
            "targetRefs": [{"group": "", "kind": "Service", "name": "a"}, {"group": "", "kind": "Service", "name": "a"}],
            "validation": {"hostname": "a.b", "wellKnownCACertificates": "System"},
        }),
        &[
            "spec.targetRefs: sectionName must be unique when targetRefs includes 2 or more references to the same target",
        ],
    );
}

#[test]
fn listener_sets() {
    let with = |listeners: Value| json!({"parentRef": {"name": "edge"}, "listeners": listeners});
    let http = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "HTTP"});
    check(
        "ListenerSet",
        with(json!([http("a", 80), http("b", 81)])),
        with(json!([http("a", 80), http("b", 80)])),
        &["spec.listeners: Combination of port, protocol and hostname must be unique for each listener"],
    );
    check(
        "ListenerSet",
        with(json!([http("a", 80)])),
        with(json!([{"name": "a", "port": 80, "protocol": "UDP", "hostname": "a.b"}])),
        &["spec.listeners: hostname must not be specified for protocols ['TCP', 'UDP']"],
    );
}

#[test]
fn experimental_backends() {
    let with = |more: Value| {
        let mut spec = json!({"type": "ExternalHostname", "externalHostname": {"hostname": "a.b"}, "port": {"number": 443}});
        spec.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        spec
    };
    let tls =
        json!({"mode": "ServerOnly", "validation": {"hostname": "a.b", "wellKnownCACertificates": "System"}});
    for (bad, expected) in [
        (
            json!({"type": "EndpointSelector", "externalHostname": null}),
            ": endpointSelector must be set when type is EndpointSelector and must be unset otherwise",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"app": "a"}}}),
            ": endpointSelector must be set when type is EndpointSelector and must be unset otherwise",
        ),
        (
            json!({"protocol": "H2C", "tls": tls}),
            ": tls must be disabled when protocol is H2C, use protocol HTTP2 for HTTP/2 with tls",
        ),
        (json!({"protocol": "WSS"}), ": tls must be enabled when protocol is WSS"),
        (
            json!({"sessionPersistence": {"type": "Header", "header": {"name": "x"}}}),
            ": sessionPersistence can only be set when type is EndpointSelector",
        ),
        (
            json!({"externalHostname": {"hostname": "a.svc.cluster.local"}}),
            ".externalHostname.hostname: hostname must not be an IP address or end with .cluster.local",
        ),
        (
            json!({"tls": {"mode": "ServerOnly"}}),
            ".tls: validation must be set if and only if mode is either ClientAndServer or ServerOnly",
        ),
        (
            json!({"tls": {"mode": "ClientAndServer", "validation": {"hostname": "a.b", "wellKnownCACertificates": "System"}}}),
            ".tls: clientCertificateRef must be set if and only if mode is ClientAndServer",
        ),
    ] {
        check(
            "XBackend",
            with(json!({"protocol": "HTTP2", "tls": tls})),
            with(bad),
            &[&format!("spec{expected}")],
        );
    }
    check(
        "XBackend",
        with(
            json!({"type": "EndpointSelector", "externalHostname": null, "endpointSelector": {"matchLabels": {"a.b/app": "a"}}}),
        ),
        with(
            json!({"type": "EndpointSelector", "externalHostname": null, "endpointSelector": {"matchLabels": {"a/b/c": "a"}}}),
        ),
        &[
            "spec.endpointSelector.matchLabels: Label keys must be in the form of an optional DNS subdomain prefix not longer than 253 \
             characters followed by a required name segment of up to 63 characters.",
        ],
    );
}

#[test]
fn rules_of_every_shape() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "number"}, "m": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "x-kubernetes-validations": [
            {"rule": "self.a.size() > 1", "message": "a must be long"},
            {"rule": "self.a == oldSelf.a", "message": "a is immutable"},
            {"rule": "!oldSelf.hasValue() || false", "optionalOldSelf": true, "message": "no old one"},
            {"rule": "!has(self.n) || self.n < 1.5", "messageExpression": "'n is ' + string(self.n)", "fieldPath": ".n"},
            {"rule": "!has(self.a) || self.a != 'div' || 1 / 0 == 1", "message": "never"},
            {"rule": "!has(self.m) || self.m.all(k, self.m[k] == 3)"},
        ],
    }))
    .expect("a schema");
    for (value, expected) in [
        (json!({"a": "xy", "n": 1, "m": {"k": 3}}), vec![]),
        (json!({}), vec![": a must be long"]),
        (json!({"a": "div"}), vec![": never (the rule cannot be decided: Division by zero of Int(1))"]),
        (json!({"a": "x", "n": 2}), vec![": a must be long", "n: n is 2"]),
        (
            json!({"a": "xy", "m": {"k": 4}}),
            vec![": failed rule: !has(self.m) || self.m.all(k, self.m[k] == 3)"],
        ),
    ] {
        let mut report = Report::default();
        report.lines.finish();
        super::check(&mut report, &schema, &value);
        let found: Vec<String> =
            report.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn a_call_to_an_unknown_function_does_not_compile() {
    let schema = Schema::compile(
        &json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.frobnicate()"}]}),
    )
    .expect("a schema");
    let error = schema.compile_parts("x").expect_err("frobnicate is not a function");
    assert_eq!(
        error.to_string(),
        "x: rule \"self.frobnicate()\" does not compile: the function frobnicate is not known"
    );
}
