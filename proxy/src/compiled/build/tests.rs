//! What a build shares with the previous generation, what it refuses, and which server owns a host.

use std::collections::BTreeMap;

use model::{
    Action, Backend, Endpoint, EndpointSet, Filter, Forward, HeaderEdit, HeaderField, HostPattern,
    HttpServer, L4Rule, Match, Mirror, Origin, PathMatch, RouteMatch, RouteTable, Rule, ServerTls, TlsInner,
    TlsServer, WeightedBackend,
};

use super::*;
use crate::compiled::{CompiledAction, CompiledServer, CompiledTlsInner, CompiledTlsServer};

fn forward(backend: &str) -> Action {
    Action::Forward(Forward {
        backends: vec![WeightedBackend {
            weight: 1,
            backend: BackendRef::Name(backend.into()),
            filters: Vec::new(),
        }],
        ..Forward::default()
    })
}

fn rule(route: &str, action: Action) -> Rule {
    Rule {
        origin: Origin::new("HTTPRoute", "shop", route),
        index: 0,
        name: None,
        filters: Vec::new(),
        action,
        set_by: BTreeMap::new(),
    }
}

fn table(rules: Vec<(&str, Rule)>) -> RouteTable {
    let mut table = RouteTable::default();
    for (host, rule) in rules {
        let routes = table.hosts.entry(host.parse().unwrap()).or_default();
        routes.push(RouteMatch { when: Match::default(), rule: table.rules.len() });
        table.rules.push(rule);
    }
    table
}

fn backend(name: &str) -> Arc<Backend> {
    let text =
        format!(r#"{{"origin": {{"kind": "Service", "namespace": "shop", "name": "{name}"}}, "port": 80}}"#);
    Arc::new(serde_json::from_str(&text).unwrap())
}

fn server(section: &str) -> HttpServer {
    HttpServer {
        owner: Origin::new("Gateway", "edge", "gw"),
        section: section.into(),
        port: 443,
        routes: "t".into(),
        filters: Vec::new(),
    }
}

fn listener(protocol: Protocol) -> Listener {
    Listener {
        gateway: Origin::new("Gateway", "edge", "gw"),
        addresses: Vec::new(),
        port: 443,
        protocol,
        connection: Default::default(),
    }
}

/// One plaintext listener and one table that sends `a.example` to `a`, `b.example` to `b`.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in ["a", "b"] {
        snapshot.backends.insert(name.into(), backend(name));
        snapshot.endpoints.insert(name.into(), Arc::default());
    }
    let routes =
        table(vec![("a.example", rule("to-a", forward("a"))), ("b.example", rule("to-b", forward("b")))]);
    snapshot.routes.insert("t".into(), Arc::new(routes));
    let servers = BTreeMap::from([(HostPattern::Any, server("http"))]);
    snapshot.listeners.insert("edge/gw/443".into(), listener(Protocol::Http(servers)));
    snapshot
}

fn build(snapshot: &Snapshot, previous: Option<&Compiled>) -> Result<Compiled, CompileError> {
    Compiled::build(&Arc::new(snapshot.clone()), previous, &BuildContext::default())
}

fn only_server(compiled: &Compiled) -> &Arc<CompiledServer> {
    let CompiledProtocol::Http(servers) = &compiled.listeners["edge/gw/443"].protocol else {
        panic!("the listener is not HTTP")
    };
    servers.find("any").unwrap()
}

#[test]
fn an_equal_snapshot_shares_everything() {
    let first = build(&snapshot(), None).unwrap();
    let second = build(&snapshot(), Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first.tables["t"], &second.tables["t"]));
    assert!(Arc::ptr_eq(&first.backends["a"], &second.backends["a"]));
    assert!(Arc::ptr_eq(only_server(&first), only_server(&second)));
    let connection = |compiled: &Compiled| Arc::clone(&compiled.listeners["edge/gw/443"].connection);
    assert!(Arc::ptr_eq(&connection(&first), &connection(&second)));
}

#[test]
fn endpoints_change_without_a_new_table() {
    let first = build(&snapshot(), None).unwrap();
    let mut changed = snapshot();
    let endpoint = Endpoint {
        reach: model::Reach::AsBackend,
        address: model::Address::Ip([127, 0, 0, 1].into()),
        port: 8080,
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    };
    changed.endpoints.insert("a".into(), Arc::new(EndpointSet(vec![endpoint])));
    let second = build(&changed, Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first.tables["t"], &second.tables["t"]));
    assert_eq!(second.backends["a"].members().len(), 1);
}

#[test]
fn a_new_backend_policy_recompiles_only_what_refers_to_it() {
    let first = build(&snapshot(), None).unwrap();
    let mut changed = snapshot();
    let mut spec = (*changed.backends["a"]).clone();
    spec.circuit.connections = 1;
    changed.backends.insert("a".into(), Arc::new(spec));
    let second = build(&changed, Some(&first)).unwrap();
    let (before, after) = (&first.tables["t"], &second.tables["t"]);
    assert!(!Arc::ptr_eq(&before.rules[0], &after.rules[0]));
    assert!(Arc::ptr_eq(&before.rules[1], &after.rules[1]));
    let host = |table: &CompiledTable, host: &str| Arc::clone(table.hosts.find(host).unwrap());
    assert!(!Arc::ptr_eq(&host(before, "a.example"), &host(after, "a.example")));
    assert!(Arc::ptr_eq(&host(before, "b.example"), &host(after, "b.example")));
    let CompiledAction::Forward(forward) = &after.rules[0].action else { panic!("not forwarded") };
    let picked = forward.backends.pick().unwrap().backend.handle().unwrap();
    assert!(Arc::ptr_eq(picked, &second.backends["a"]));
}

#[test]
fn rules_are_shared_when_their_places_shift() {
    let first = build(&snapshot(), None).unwrap();
    let mut changed = snapshot();
    let routes = table(vec![
        ("0.example", rule("new", forward("a"))),
        ("a.example", rule("to-a", forward("a"))),
        ("b.example", rule("to-b", forward("b"))),
    ]);
    changed.routes.insert("t".into(), Arc::new(routes));
    let second = build(&changed, Some(&first)).unwrap();
    let (before, after) = (&first.tables["t"], &second.tables["t"]);
    assert!(Arc::ptr_eq(&before.rules[1], &after.rules[2]));
    assert!(Arc::ptr_eq(before.hosts.find("b.example").unwrap(), after.hosts.find("b.example").unwrap()));
    assert_eq!(&*after.rules[2].label, "shop/to-b/0");
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    let with_match = |when: Match| {
        let mut snapshot = snapshot();
        let mut routes = (*snapshot.routes["t"]).clone();
        routes.hosts.get_mut(&HostPattern::Exact("a.example".into())).unwrap()[0].when = when;
        snapshot.routes.insert("t".into(), Arc::new(routes));
        snapshot
    };
    let with_rule = |change: &dyn Fn(&mut Rule)| {
        let mut snapshot = snapshot();
        let mut routes = (*snapshot.routes["t"]).clone();
        change(&mut routes.rules[0]);
        snapshot.routes.insert("t".into(), Arc::new(routes));
        snapshot
    };
    let header = |name: &str, value: &str| HeaderField { name: name.into(), value: value.into() };
    let mut without_backend = snapshot();
    without_backend.backends.remove("b");
    for (snapshot, expected) in [
        (
            with_match(Match { path: Some(PathMatch::Regex("a(".into())), ..Match::default() }),
            "route table t, HTTPRoute shop/to-a rule 0: \"a(\" is not a usable regular expression: unclosed group",
        ),
        (with_match(Match { method: Some("G T".into()), ..Match::default() }), "\"G T\" is not a method"),
        (
            with_rule(&|rule| rule.action = Action::Respond { status: 99, body: "".into() }),
            "status 99 is not in 200-599",
        ),
        (
            with_rule(&|rule| {
                let set = vec![header("a b", "")];
                rule.filters = vec![Filter::RequestHeaders(HeaderEdit { set, ..HeaderEdit::default() })];
            }),
            "\"a b\" is not a header name",
        ),
        (
            with_rule(&|rule| {
                let add = vec![header("x-a", "a\r\nb")];
                rule.filters = vec![Filter::ResponseHeaders(HeaderEdit { add, ..HeaderEdit::default() })];
            }),
            "the value of x-a holds a control character",
        ),
        (
            with_rule(&|rule| {
                let backend = BackendRef::Name("a".into());
                rule.filters = vec![Filter::Mirror(Mirror { backend, numerator: 0, denominator: 0 })];
            }),
            "denominator 0",
        ),
        (without_backend, "refers to backend b, which the snapshot does not have"),
    ] {
        let error = build(&snapshot, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_closes_its_server_alone() {
    let mut snapshot = snapshot();
    let pair =
        model::KeyPair { certificate_chain: "none".into(), private_key: model::Secret::new("none".into()) };
    snapshot.secrets.insert("s".into(), Arc::new(pair));
    let tls = ServerTls {
        svid: None,
        certificates: vec!["s".into()],
        min_version: Default::default(),
        client_auth: Default::default(),
    };
    let servers = BTreeMap::from([
        (
            HostPattern::Exact("a.example".into()),
            TlsServer::Terminate { tls, inner: TlsInner::Http(server("a")) },
        ),
        (HostPattern::Exact("b.example".into()), TlsServer::Passthrough(BTreeMap::new())),
    ]);
    snapshot.listeners.insert("edge/gw/443".into(), listener(Protocol::Tls(servers)));
    let compiled = build(&snapshot, None).unwrap();
    let CompiledProtocol::Tls(servers) = &compiled.listeners["edge/gw/443"].protocol else {
        panic!("not TLS")
    };
    assert!(matches!(servers.find("a.example"), Some(CompiledTlsServer::Closed { .. })));
    assert!(matches!(servers.find("b.example"), Some(CompiledTlsServer::Passthrough(_))));
}

fn key_pair(name: &str) -> Arc<model::KeyPair> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Arc::new(model::KeyPair {
        certificate_chain: made.cert.pem().into(),
        private_key: model::Secret::new(made.signing_key.serialize_pem().into()),
    })
}

fn tls_snapshot(pair: &Arc<model::KeyPair>, hosts: &[&str]) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.secrets.insert("s".into(), Arc::clone(pair));
    let tls = ServerTls {
        svid: None,
        certificates: vec!["s".into()],
        min_version: Default::default(),
        client_auth: Default::default(),
    };
    let mut servers: BTreeMap<_, _> = hosts
        .iter()
        .map(|host| {
            let inner = TlsInner::Http(server(host));
            (host.parse().unwrap(), TlsServer::Terminate { tls: tls.clone(), inner })
        })
        .collect();
    let rule = L4Rule {
        origin: Origin::new("TLSRoute", "shop", "raw"),
        backends: Vec::new(),
        idle_timeout: std::time::Duration::from_secs(1),
    };
    let rules = BTreeMap::from([(HostPattern::Any, rule)]);
    servers.insert("raw.example".parse().unwrap(), TlsServer::Passthrough(rules));
    snapshot.listeners.insert("edge/gw/443".into(), listener(Protocol::Tls(servers)));
    snapshot
}

fn chosen<'c>(compiled: &'c Compiled, sni: &str) -> (&'c identity::ServerTlsConfig, &'c Arc<CompiledServer>) {
    let CompiledProtocol::Tls(servers) = &compiled.listeners["edge/gw/443"].protocol else {
        panic!("not TLS")
    };
    match servers.find(sni) {
        Some(CompiledTlsServer::Terminate { config, inner: CompiledTlsInner::Http(server), .. }) => {
            (config, server)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_of_another_server_is_misdirected() {
    let pair = key_pair("example.org");
    let hosts = ["*", "second.example", "*.wildcard.example", "fourth.wildcard.example"];
    let compiled = build(&tls_snapshot(&pair, &hosts), None).unwrap();
    let listener = &compiled.listeners["edge/gw/443"];
    // Gateway API conformance, HTTPRouteHTTPSListenerDetectMisdirectedRequests.
    for (sni, host, misdirected) in [
        ("example.org", "example.org", false),
        ("example.org", "second.example", true),
        ("example.org", "unknown.example", false),
        ("", "unknown.example", false),
        ("second.example", "second.example", false),
        ("second.example", "unknown.example", true),
        ("third.wildcard.example", "fifth.wildcard.example", false),
        ("third.wildcard.example", "fourth.wildcard.example", true),
        ("fourth.wildcard.example", "fifth.wildcard.example", true),
        ("example.org", "raw.example", true),
    ] {
        let (_, server) = chosen(&compiled, sni);
        assert_eq!(listener.misdirected(server, host), misdirected, "{sni} {host}");
    }
    let later = build(&tls_snapshot(&pair, &["second.example"]), Some(&compiled)).unwrap();
    let (_, server) = chosen(&compiled, "second.example");
    let listener = &later.listeners["edge/gw/443"];
    assert!(!listener.misdirected(server, "second.example"), "the same server of an earlier generation");
    assert!(!listener.misdirected(server, "unknown.example"), "a host of nobody has no route, which is 404");
}

#[test]
fn tls_configurations_outlive_a_swap_until_their_secret_changes() {
    let pair = key_pair("a.example");
    let first = build(&tls_snapshot(&pair, &["a.example"]), None).unwrap();
    let mut same = tls_snapshot(&pair, &["a.example"]);
    same.routes.insert("t".into(), Arc::default());
    let second = build(&same, Some(&first)).unwrap();
    let config = |compiled| Arc::clone(&chosen(compiled, "a.example").0.config);
    assert!(Arc::ptr_eq(&config(&first), &config(&second)));
    let third = build(&tls_snapshot(&key_pair("a.example"), &["a.example"]), Some(&second)).unwrap();
    assert!(!Arc::ptr_eq(&config(&second), &config(&third)));
}
