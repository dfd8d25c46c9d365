//! Messages that are refused, and how the error names the field.

use std::error::Error as _;

use prost::Message;
use serde_json::{Value, json};

use super::super::{DecodeError, Resource, ResourceKind, Wire, decode_snapshot, encode_snapshot, pb};
use crate::{Backend, EndpointSet, GatewaySettings, KeyPair, Listener, RouteTable, Secret, Snapshot};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn gateway() -> Value {
    json!({"kind": "Gateway", "namespace": "a", "name": "g"})
}

fn forward() -> Value {
    json!({"weight": 1, "backend": {"name": "b"}, "filters": [
        {"mirror": {"backend": {"name": "b"}, "numerator": 1, "denominator": 2}},
        {"externalAuth": {"backend": {"name": "b"}, "protocol": {"grpc": {"allowed_headers": []}}, "timeout": "1s"}},
        {"closed": {"reason": "no", "status": 500}},
    ]})
}

/// TLS with HTTP inside for every host, SNI routing for one.
fn listener() -> pb::Listener {
    let server = json!({"owner": gateway(), "section": "web", "port": 443, "routes": "a/g/web"});
    let l4 = json!({"origin": gateway(), "backends": [forward()], "idle_timeout": "1s"});
    let listener: Listener = read(json!({
        "gateway": gateway(), "addresses": ["192.0.2.1", "2001:db8::1"], "port": 443,
        "protocol": {"tls": {
            "*": {"terminate": {
                "tls": {"certificates": ["a/s"], "client_auth": {"require": "roots"}}, "inner": {"http": server},
            }},
            "db.example.com": {"passthrough": {"db.example.com": l4}},
        }},
        "connection": {
            "proxy_protocol": {"mode": "Required", "trusted": ["10.0.0.0/8"]},
            "set_by": {"limits": gateway()},
        },
    }));
    listener.encode()
}

fn table() -> pb::RouteTable {
    let rule = |action: Value| json!({"origin": gateway(), "index": 0, "action": action});
    let table: RouteTable = read(json!({
        "hosts": {"example.com": [{"path": {"exact": "/"}, "headers": [{"name": "x", "value": "present"}], "rule": 0}]},
        "rules": [
            rule(json!({"forward": {
                "backends": [forward()],
                "retry": {"attempts": 1, "codes": [503], "connect_failure": true, "backoff": "25ms"},
                "session": {"carrier": {"header": "x-session"}},
            }})),
            rule(json!({"redirect": {"port": 443, "status": 302}})),
            rule(json!({"respond": {"status": 404}})),
        ],
    }));
    table.encode()
}

fn backend() -> pb::Backend {
    let backend: Backend = read(json!({
        "origin": gateway(), "port": 80,
        "tls": {"tls": {"server_name": "b", "roots": {"pem": "roots"}, "names": [{"dns": "b"}]}},
        "balance": {"affinity": {"header": "x"}},
        "health": {
            "active": {
                "probe": {"http": {"path": "/", "host": "", "statuses": [200]}},
                "interval": "1s", "timeout": "1s", "healthy_threshold": 1, "unhealthy_threshold": 1,
            },
            "outlier": {"consecutive_5xx": 1, "ejection": "1s", "max_ejected_percent": 50},
        },
    }));
    backend.encode()
}

fn endpoints() -> pb::Endpoints {
    read::<EndpointSet>(json!([{"address": "192.0.2.1", "port": 80}])).encode()
}

/// What the error says, and the edit that brings it about.
type Case<'a, M> = (&'a str, &'a dyn Fn(&mut M));

fn check<T: Wire<Message: Clone> + std::fmt::Debug>(message: T::Message, cases: &[Case<'_, T::Message>]) {
    assert!(T::decode(message.clone()).is_ok(), "only the edit is wrong");
    for (expected, edit) in cases {
        let mut edited = message.clone();
        edit(&mut edited);
        let error = T::decode(edited).expect_err(expected).to_string();
        assert_eq!(error, *expected);
    }
}

/// The TLS server for every host: hosts sort most specific first.
fn terminate(listener: &mut pb::Listener) -> &mut pb::Terminate {
    let Some(pb::listener::Protocol::Tls(hosts)) = &mut listener.protocol else { panic!("TLS") };
    let server = hosts.hosts[1].server.as_mut().unwrap();
    let Some(pb::tls_server::Kind::Terminate(terminate)) = &mut server.kind else { panic!("terminate") };
    terminate
}

fn hosts(listener: &mut pb::Listener) -> &mut Vec<pb::TlsHost> {
    let Some(pb::listener::Protocol::Tls(hosts)) = &mut listener.protocol else { panic!("TLS") };
    &mut hosts.hosts
}

fn rule(listener: &mut pb::Listener) -> &mut pb::L4Rule {
    let server = hosts(listener)[0].server.as_mut().unwrap();
    let Some(pb::tls_server::Kind::Passthrough(rules)) = &mut server.kind else { panic!("passthrough") };
    rules.hosts[0].rule.as_mut().unwrap()
}

#[test]
fn listeners() {
    let unknown = "is not set, or to a kind that this version does not know";
    let tls = "protocol.tls.hosts[1].server.terminate";
    check::<Listener>(
        listener(),
        &[
            ("gateway is missing", &|m| m.gateway = None),
            ("gateway.name is missing", &|m| m.gateway.as_mut().unwrap().name.clear()),
            ("port is 0, not within 1 to 65535", &|m| m.port = 0),
            ("port is 65536, not within 1 to 65535", &|m| m.port = 65536),
            (r#"addresses[1] is "no": invalid IP address syntax"#, &|m| m.addresses[1] = "no".into()),
            (&format!("protocol {unknown}"), &|m| m.protocol = None),
            (&format!("protocol.tls.hosts[0].server {unknown}"), &|m| {
                hosts(m)[0].server.as_mut().unwrap().kind = None;
            }),
            ("protocol.tls.hosts[0].server is missing", &|m| hosts(m)[0].server = None),
            ("protocol.tls.hosts[0].host is missing", &|m| hosts(m)[0].host.clear()),
            (
                r#"protocol.tls.hosts[0].host is "a..b": "a..b" is not a host name: a label is empty or longer than 63 characters"#,
                &|m| hosts(m)[0].host = "a..b".into(),
            ),
            (r#"protocol.tls.hosts[0].host is "Example.com", which must be written example.com"#, &|m| {
                hosts(m)[0].host = "Example.com".into()
            }),
            ("protocol.tls.hosts[1].host is db.example.com, which occurs twice", &|m| {
                hosts(m)[1].host = "db.example.com".into();
            }),
            (&format!("{tls}.inner {unknown}"), &|m| terminate(m).inner = None),
            (&format!("{tls}.tls is missing"), &|m| terminate(m).tls = None),
            (&format!("{tls}.tls.client_auth is missing"), &|m| {
                terminate(m).tls.as_mut().unwrap().client_auth = None;
            }),
            (&format!("{tls}.tls.client_auth {unknown}"), &|m| {
                terminate(m).tls.as_mut().unwrap().client_auth = Some(pb::ClientAuth { kind: None });
            }),
            (&format!("{tls}.tls.client_auth.require is missing"), &|m| {
                let kind = pb::client_auth::Kind::Require(String::new());
                terminate(m).tls.as_mut().unwrap().client_auth = Some(pb::ClientAuth { kind: Some(kind) });
            }),
            (&format!("{tls}.tls.min_version is missing"), &|m| {
                terminate(m).tls.as_mut().unwrap().min_version = 0;
            }),
            (&format!("{tls}.tls.min_version is 9, which this version does not know"), &|m| {
                terminate(m).tls.as_mut().unwrap().min_version = 9;
            }),
            (&format!("{tls}.tls.certificates[0] is missing"), &|m| {
                terminate(m).tls.as_mut().unwrap().certificates[0].clear();
            }),
            (r#"connection.proxy_protocol.trusted[0] is "10.0.0.0/33": invalid IP address syntax"#, &|m| {
                m.connection.as_mut().unwrap().proxy_protocol.as_mut().unwrap().trusted[0] =
                    "10.0.0.0/33".into();
            }),
            ("connection.proxy_protocol.mode is -1, which this version does not know", &|m| {
                m.connection.as_mut().unwrap().proxy_protocol.as_mut().unwrap().mode = -1;
            }),
            (
                "connection.limits.max_age is -1 s and 0 ns, which is negative or has more than a second of nanoseconds",
                &|m| {
                    let limits = m.connection.as_mut().unwrap().limits.as_mut().unwrap();
                    limits.max_age.as_mut().unwrap().seconds = -1;
                },
            ),
            ("connection.limits is missing", &|m| m.connection.as_mut().unwrap().limits = None),
            (r#"connection.set_by["limits"].kind is missing"#, &|m| {
                m.connection.as_mut().unwrap().set_by.get_mut("limits").unwrap().kind.clear();
            }),
            ("connection is missing", &|m| m.connection = None),
        ],
    );
}

#[test]
fn backends_of_rules_and_their_filters() {
    let unknown = "is not set, or to a kind that this version does not know";
    let place = "protocol.tls.hosts[0].server.passthrough.hosts[0].rule.backends[0]";
    check::<Listener>(
        listener(),
        &[
            (&format!("{place}.weight is 1000001, not within 0 to 1000000"), &|m| {
                rule(m).backends[0].weight = 1_000_001;
            }),
            (&format!("{place}.backend {unknown}"), &|m| {
                rule(m).backends[0].backend = Some(pb::BackendRef { kind: None });
            }),
            (&format!("{place}.backend.invalid.status is 200, not within 400 to 599"), &|m| {
                let invalid = pb::InvalidBackend { reason: String::new(), status: 200 };
                let kind = Some(pb::backend_ref::Kind::Invalid(invalid));
                rule(m).backends[0].backend = Some(pb::BackendRef { kind });
            }),
            (&format!("{place}.filters[0] {unknown}"), &|m| rule(m).backends[0].filters[0].kind = None),
            (&format!("{place}.filters[0].mirror.denominator is 0, not within 1 to 4294967295"), &|m| {
                let kind = &mut rule(m).backends[0].filters[0].kind;
                let Some(pb::filter::Kind::Mirror(mirror)) = kind else { panic!("mirror") };
                mirror.denominator = 0;
            }),
            (&format!("{place}.filters[1].external_auth.protocol {unknown}"), &|m| {
                let kind = &mut rule(m).backends[0].filters[1].kind;
                let Some(pb::filter::Kind::ExternalAuth(auth)) = kind else { panic!("external auth") };
                auth.protocol = None;
            }),
            (&format!("{place}.filters[2].closed.status is 200, not within 400 to 599"), &|m| {
                let kind = &mut rule(m).backends[0].filters[2].kind;
                let Some(pb::filter::Kind::Closed(closed)) = kind else { panic!("closed") };
                closed.status = 200;
            }),
        ],
    );
}

#[test]
fn route_tables() {
    let unknown = "is not set, or to a kind that this version does not know";
    let forward = |m: &mut pb::RouteTable, edit: &dyn Fn(&mut pb::Forward)| {
        let Some(pb::rule::Action::Forward(forward)) = &mut m.rules[0].action else { panic!("forward") };
        edit(forward);
    };
    let redirect = |m: &mut pb::RouteTable, edit: &dyn Fn(&mut pb::Redirect)| {
        let Some(pb::rule::Action::Redirect(redirect)) = &mut m.rules[1].action else { panic!("redirect") };
        edit(redirect);
    };
    check::<RouteTable>(
        table(),
        &[
            ("hosts[0].matches[0].when is missing", &|m| m.hosts[0].matches[0].when = None),
            (&format!("hosts[0].matches[0].when.path {unknown}"), &|m| {
                m.hosts[0].matches[0].when.as_mut().unwrap().path = Some(pb::PathMatch { kind: None });
            }),
            ("hosts[0].matches[0].when.headers[0].value is missing", &|m| {
                m.hosts[0].matches[0].when.as_mut().unwrap().headers[0].value = None;
            }),
            (&format!("hosts[0].matches[0].when.headers[0].value {unknown}"), &|m| {
                let value = Some(pb::ValueMatch { kind: None });
                m.hosts[0].matches[0].when.as_mut().unwrap().headers[0].value = value;
            }),
            ("hosts[1].host is example.com, which occurs twice", &|m| m.hosts.push(m.hosts[0].clone())),
            ("rules[0].origin is missing", &|m| m.rules[0].origin = None),
            (&format!("rules[0].action {unknown}"), &|m| m.rules[0].action = None),
            ("rules[0].action.forward.timeouts is missing", &|m| forward(m, &|f| f.timeouts = None)),
            ("rules[0].action.forward.retry.codes[1] is 200, not within 400 to 599", &|m| {
                forward(m, &|f| f.retry.as_mut().unwrap().codes.push(200));
            }),
            ("rules[0].action.forward.retry.backoff is missing", &|m| {
                forward(m, &|f| f.retry.as_mut().unwrap().backoff = None);
            }),
            (&format!("rules[0].action.forward.session.carrier {unknown}"), &|m| {
                forward(m, &|f| f.session.as_mut().unwrap().carrier = None);
            }),
            ("rules[1].action.redirect.port is 0, not within 1 to 65535", &|m| {
                redirect(m, &|r| r.port = Some(0));
            }),
            ("rules[1].action.redirect.status is 304, which is no redirect", &|m| {
                redirect(m, &|r| r.status = 304);
            }),
            ("rules[2].action.respond.status is 700, not within 200 to 599", &|m| {
                let respond = pb::Respond { status: 700, body: String::new() };
                m.rules[2].action = Some(pb::rule::Action::Respond(respond));
            }),
        ],
    );
}

#[test]
fn backends() {
    let unknown = "is not set, or to a kind that this version does not know";
    let tls = |m: &mut pb::Backend, edit: &dyn Fn(&mut pb::ClientTls)| {
        let Some(pb::upstream_tls::Kind::Tls(tls)) = &mut m.tls.as_mut().unwrap().kind else { panic!("TLS") };
        edit(tls);
    };
    check::<Backend>(
        backend(),
        &[
            ("port is 70000, not within 1 to 65535", &|m| m.port = 70_000),
            ("protocol is missing", &|m| m.protocol = 0),
            ("protocol is 77, which this version does not know", &|m| m.protocol = 77),
            ("tls is missing", &|m| m.tls = None),
            (&format!("tls {unknown}"), &|m| m.tls = Some(pb::UpstreamTls { kind: None })),
            ("tls.tls.server_name is missing", &|m| tls(m, &|tls| tls.server_name.clear())),
            (&format!("tls.tls.roots {unknown}"), &|m| {
                tls(m, &|tls| tls.roots = Some(pb::Roots { kind: None }))
            }),
            (&format!("tls.tls.names[0] {unknown}"), &|m| tls(m, &|tls| tls.names[0].kind = None)),
            (&format!("balance.affinity {unknown}"), &|m| {
                m.balance.as_mut().unwrap().affinity = Some(pb::Affinity { kind: None });
            }),
            (&format!("health.active.probe {unknown}"), &|m| {
                let active = m.health.as_mut().unwrap().active.as_mut().unwrap();
                active.probe = Some(pb::Probe { kind: None });
            }),
            ("health.outlier.max_ejected_percent is 101, not within 0 to 100", &|m| {
                m.health.as_mut().unwrap().outlier.as_mut().unwrap().max_ejected_percent = 101;
            }),
            ("circuit is missing", &|m| m.circuit = None),
            ("connection.proxy_protocol is missing", &|m| {
                m.connection.as_mut().unwrap().proxy_protocol = 0;
            }),
        ],
    );
}

#[test]
fn endpoints_secrets_and_settings() {
    let unknown = "is not set, or to a kind that this version does not know";
    check::<EndpointSet>(
        endpoints(),
        &[
            (&format!("endpoints[0].address {unknown}"), &|m| m.endpoints[0].address = None),
            (r#"endpoints[0].address.ip is "b": invalid IP address syntax"#, &|m| {
                m.endpoints[0].address = Some(pb::endpoint::Address::Ip("b".into()));
            }),
            ("endpoints[0].port is 0, not within 1 to 65535", &|m| m.endpoints[0].port = 0),
        ],
    );
    let pair = KeyPair { certificate_chain: "chain".into(), private_key: Secret::new("key".into()) };
    check::<KeyPair>(
        pair.encode(),
        &[
            ("certificate_chain is missing", &|m| m.certificate_chain.clear()),
            ("private_key is missing", &|m| m.private_key.clear()),
        ],
    );
    check::<GatewaySettings>(
        GatewaySettings::default().encode(),
        &[
            ("tracing_per_10_000 is 10001, not within 0 to 10000", &|m| m.tracing_per_10_000 = 10_001),
            (
                "drain_delay is 0 s and 1000000000 ns, which is negative or has more than a second of nanoseconds",
                &|m| m.drain_delay = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000_000 }),
            ),
        ],
    );
}

/// Decodes a snapshot of its settings and this resource.
fn with_resource(kind: &str, name: &str, bytes: Vec<u8>) -> Result<Snapshot, String> {
    let mut resources = encode_snapshot(&Snapshot::default());
    resources.push(Resource {
        type_url: format!("type.googleapis.com/diolkos.v1.{kind}"),
        name: name.to_owned(),
        bytes,
    });
    decode_snapshot(resources).map_err(|error| {
        let cause = error.source().and_then(|source| source.downcast_ref::<DecodeError>()).unwrap();
        format!("{error}: {cause}")
    })
}

#[test]
fn resources() {
    let bytes = backend().encode_to_vec();
    assert!(with_resource("Backend", "b", bytes.clone()).is_ok());
    let unknown_field = [bytes.as_slice(), &[0xf8, 0x7f, 1]].concat();
    let mut nested = backend();
    nested.tls = None;
    // Field 4, `tls`, of a variant 9 that this version does not have, with an empty message in it.
    let unknown_variant = [nested.encode_to_vec().as_slice(), &[0x22, 2, 0x4a, 0]].concat();
    for (kind, name, bytes, expected) in [
        ("Policy", "p", vec![], "is of a type that this version does not know"),
        ("Backend", "", bytes.clone(), "has a name that no resource of its type has"),
        ("Settings", "others", vec![], "has a name that no resource of its type has"),
        ("Settings", "settings", vec![], "occurs twice"),
        ("Backend", "b", unknown_field, "has a field that this version does not know"),
        ("Backend", "b", unknown_variant, "has a field that this version does not know"),
        ("Backend", "b", bytes[..bytes.len() - 1].to_vec(), "does not parse as its type"),
        ("Secret", "s", vec![], "certificate_chain is missing"),
    ] {
        let error = with_resource(kind, name, bytes).unwrap_err();
        let start = format!("resource {name:?} of type type.googleapis.com/diolkos.v1.{kind} is refused: ");
        assert!(error.starts_with(&start) && error.contains(expected), "{error}");
    }
    let error = decode_snapshot([]).unwrap_err();
    assert_eq!((error.name.as_str(), error.source.reason.as_str()), ("settings", "is missing"));
    assert_eq!(ResourceKind::from_type_url("type.googleapis.com/envoy.config.listener.v3.Listener"), None);
}
