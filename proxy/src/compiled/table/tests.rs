//! The index against the plain reading of the IR.

use std::collections::BTreeMap;

use http::{HeaderValue, Request, request};
use model::{
    Action, HeaderMatch, HostPattern, Match, Origin, PathMatch, QueryMatch, RouteMatch, RouteTable, Rule,
    Snapshot, ValueMatch,
};
use proptest::prelude::*;

use super::*;
use crate::compiled::{BuildContext, Compiled};

fn rule(index: usize) -> Rule {
    Rule {
        origin: Origin::new("HTTPRoute", "shop", "cart"),
        index,
        name: None,
        filters: Vec::new(),
        action: Action::Respond { status: 200, body: "".into() },
        set_by: BTreeMap::new(),
    }
}

/// A table whose n-th match, over all hosts in order, leads to rule n.
fn source(hosts: Vec<(HostPattern, Vec<Match>)>) -> RouteTable {
    let mut table = RouteTable::default();
    for (host, matches) in hosts {
        let routes = table.hosts.entry(host).or_default();
        for when in matches {
            routes.push(RouteMatch { when, rule: table.rules.len() });
            table.rules.push(rule(table.rules.len()));
        }
    }
    table
}

fn compile(table: RouteTable) -> Arc<CompiledTable> {
    let routes = BTreeMap::from([("t".into(), Arc::new(table))]);
    let snapshot = Arc::new(Snapshot { routes, ..Snapshot::default() });
    let compiled = Compiled::build(&snapshot, None, &BuildContext::default()).unwrap();
    Arc::clone(&compiled.tables["t"])
}

fn request(method: &str, target: &str, headers: &[(&'static str, &str)]) -> request::Parts {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    builder.body(()).unwrap().into_parts().0
}

fn facts<'r>(host: &'r str, parts: &'r request::Parts) -> Facts<'r> {
    Facts {
        host,
        path: parts.uri.path(),
        query: parts.uri.query(),
        method: &parts.method,
        headers: &parts.headers,
    }
}

/// The plain reading of the IR, with none of the code under test: the rule and what a prefix matched.
fn scan(table: &RouteTable, facts: &Facts<'_>) -> Option<(usize, Option<usize>)> {
    let hosts = table.hosts.iter().filter(|(pattern, _)| pattern.matches(facts.host));
    hosts.flat_map(|(_, routes)| routes).find(|route| holds(&route.when, facts)).map(|route| {
        let prefix = match &route.when.path {
            Some(PathMatch::SegmentPrefix(prefix)) => Some(prefix.trim_end_matches('/').len()),
            Some(PathMatch::StringPrefix(prefix)) => Some(prefix.len()),
            _ => None,
        };
        (route.rule, prefix)
    })
}

fn holds(when: &Match, facts: &Facts<'_>) -> bool {
    let path = match &when.path {
        None => true,
        Some(PathMatch::Exact(whole)) => facts.path == &**whole,
        Some(PathMatch::SegmentPrefix(prefix)) if &**prefix == "/" => true,
        Some(PathMatch::SegmentPrefix(prefix)) => {
            facts.path == &**prefix || facts.path.starts_with(&format!("{prefix}/"))
        }
        Some(PathMatch::StringPrefix(prefix)) => facts.path.starts_with(&**prefix),
        Some(PathMatch::Regex(pattern)) => model::full_match(pattern).unwrap().is_match(facts.path),
    };
    let method = when.method.as_deref().is_none_or(|method| method == facts.method.as_str());
    let headers = when.headers.iter().all(|header| {
        let all: Vec<_> =
            facts.headers.get_all(&*header.name).iter().map(|value| value.to_str().unwrap()).collect();
        !all.is_empty() && value_holds(&header.value, &all.join(","))
    });
    let query = when.query.iter().all(|param| {
        let mut pairs =
            facts.query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(name, _)| *name == &*param.name).is_some_and(|(_, value)| {
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            value_holds(&param.value, &value)
        })
    });
    path && method && headers && query
}

fn value_holds(value: &ValueMatch, text: &str) -> bool {
    match value {
        ValueMatch::Exact(whole) => text == &**whole,
        ValueMatch::Prefix(prefix) => text.starts_with(&**prefix),
        ValueMatch::Regex(pattern) => model::full_match(pattern).unwrap().is_match(text),
        ValueMatch::Present => true,
    }
}

fn path(path: PathMatch) -> Match {
    Match { path: Some(path), ..Match::default() }
}

fn exact(text: &str) -> Match {
    path(PathMatch::Exact(text.into()))
}

fn below(text: &str) -> Match {
    path(PathMatch::SegmentPrefix(text.into()))
}

fn host(text: &str) -> HostPattern {
    text.parse().unwrap()
}

#[test]
fn a_host_without_a_match_falls_through_to_the_next_pattern() {
    // Gateway API …MultipleRoutesAttachmentSameHostnameIntersection: the exact hostname wins, also over a longer
    // prefix; what it does not match goes on to the wildcard.
    let table = compile(source(vec![
        (host("abc.example.com"), vec![below("/foo")]),
        (host("*.example.com"), vec![below("/foo/longer"), below("/bar")]),
        (host("*"), vec![exact("/only")]),
    ]));
    for (name, target, expected) in [
        ("abc.example.com", "/foo/longer", Some(0)),
        ("abc.example.com", "/bar", Some(2)),
        ("abc.example.com", "/only", Some(3)),
        ("abc.example.com", "/none", None),
        ("other.example.com", "/foo", None),
        ("other.example.com", "/foo/longer/x", Some(1)),
        ("example.com", "/bar", None),
        ("", "/only", Some(3)),
    ] {
        let parts = request("GET", target, &[]);
        let routed = table.route(&facts(name, &parts));
        assert_eq!(routed.map(|routed| routed.rule.index), expected, "{name}{target}");
    }
}

#[test]
fn the_order_of_the_table_decides() {
    let many = |first: Match| {
        let mut matches = vec![first];
        matches.extend((0..20).map(|n| exact(&format!("/x{n}"))));
        matches.extend([exact("/a/b"), below("/a"), below("/")]);
        compile(source(vec![(HostPattern::Any, matches)]))
    };
    // A catch-all that stands first wins over everything, as Istio's order may have it.
    for (first, target, expected) in [
        (below("/"), "/a/b", 0),
        (exact("/nowhere"), "/a/b", 21),
        (exact("/nowhere"), "/a/bc", 22),
        (exact("/nowhere"), "/ab", 23),
        (exact("/nowhere"), "/x7", 8),
        (path(PathMatch::StringPrefix("/a".into())), "/ab", 0),
        (path(PathMatch::Regex("/a/[b-d]".into())), "/a/b", 0),
    ] {
        let parts = request("GET", target, &[]);
        let routed = many(first).route(&facts("any.example", &parts)).map(|routed| routed.rule.index);
        assert_eq!(routed, Some(expected), "{target}");
    }
}

#[test]
fn values_are_those_of_the_whole_header_and_the_first_parameter() {
    let header =
        |value| Match { headers: vec![HeaderMatch { name: "x-tag".into(), value }], ..Match::default() };
    let query = |value| Match { query: vec![QueryMatch { name: "q".into(), value }], ..Match::default() };
    for (when, target, fields, expected) in [
        (header(ValueMatch::Exact("a,b".into())), "/", vec![("x-tag", "a"), ("x-tag", "b")], true),
        (header(ValueMatch::Exact("a".into())), "/", vec![("x-tag", "a"), ("x-tag", "b")], false),
        (header(ValueMatch::Exact("a".into())), "/", vec![], false),
        (header(ValueMatch::Regex("a.*b".into())), "/", vec![("x-tag", "a"), ("x-tag", "b")], true),
        (header(ValueMatch::Regex("a".into())), "/", vec![("x-tag", "ab")], false),
        (header(ValueMatch::Present), "/", vec![("x-tag", "")], true),
        (header(ValueMatch::Present), "/", vec![], false),
        (query(ValueMatch::Exact("a b".into())), "/?q=a%20b&q=c", vec![], true),
        (query(ValueMatch::Exact("c".into())), "/?q=a%20b&q=c", vec![], false),
        (query(ValueMatch::Regex("[0-9]+".into())), "/?q=12", vec![], true),
        (query(ValueMatch::Present), "/?q", vec![], true),
        (query(ValueMatch::Present), "/?p=q", vec![], false),
        (query(ValueMatch::Present), "/", vec![], false),
    ] {
        let parts = request("GET", target, &fields);
        let table = compile(source(vec![(HostPattern::Any, vec![when.clone()])]));
        assert_eq!(table.route(&facts("", &parts)).is_some(), expected, "{when:?} {target} {fields:?}");
    }
}

#[test]
fn text_that_is_not_utf_8_matches_no_expression() {
    let when = Match {
        headers: vec![HeaderMatch { name: "x-tag".into(), value: ValueMatch::Regex(".*".into()) }],
        ..Match::default()
    };
    let table = compile(source(vec![(HostPattern::Any, vec![when])]));
    let mut parts = request("GET", "/", &[]);
    parts.headers.insert("x-tag", HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(table.route(&facts("", &parts)).is_none());
    parts.headers.insert("x-tag", HeaderValue::from_bytes("é".as_bytes()).unwrap());
    assert!(table.route(&facts("", &parts)).is_some());
}

#[test]
fn the_matched_prefix_is_told() {
    let table = compile(source(vec![(
        HostPattern::Any,
        vec![below("/a/b/"), path(PathMatch::StringPrefix("/st".into())), exact("/e"), below("/")],
    )]));
    for (target, expected) in [
        ("/a/b/c", (0, Some(4))),
        ("/a/b", (0, Some(4))),
        ("/string", (1, Some(3))),
        ("/e", (2, None)),
        ("/other", (3, Some(0))),
    ] {
        let parts = request("GET", target, &[]);
        let routed = table.route(&facts("", &parts)).unwrap();
        assert_eq!((routed.rule.index, routed.prefix), expected, "{target}");
    }
}

#[test]
fn many_routes_of_one_path_are_told_apart_by_header() {
    let tenant = |n: usize| Match {
        path: Some(PathMatch::SegmentPrefix("/".into())),
        headers: vec![HeaderMatch {
            name: "x-tenant".into(),
            value: ValueMatch::Exact(format!("t{n}").into()),
        }],
        ..Match::default()
    };
    let mut matches: Vec<_> = (0..100).map(tenant).collect();
    matches.insert(50, exact("/first"));
    let table = compile(source(vec![(HostPattern::Any, matches)]));
    for (target, value, expected) in [
        ("/", "t0", Some(0)),
        ("/", "t99", Some(100)),
        ("/first", "t99", Some(50)),
        ("/first", "t3", Some(3)),
        ("/", "t", None),
    ] {
        let parts = request("GET", target, &[("x-tenant", value)]);
        let routed = table.route(&facts("", &parts)).map(|routed| routed.rule.index);
        assert_eq!(routed, expected, "{target} {value}");
    }
}

fn any_path() -> impl Strategy<Value = PathMatch> {
    let text = || prop_oneof!["(/[ab]{1,2}){1,3}", Just("/".to_owned())];
    prop_oneof![
        text().prop_map(|text| PathMatch::Exact(text.into())),
        text().prop_map(|text| PathMatch::SegmentPrefix(text.into())),
        "/[ab]{0,2}(/[ab]{1,2}){0,2}/?".prop_map(|text| PathMatch::StringPrefix(text.into())),
        "(/[ab]{0,2}){1,2}(\\[ab\\]\\+|\\(/a\\|b\\)|b\\?|\\.\\*|a\\{2\\}){0,2}(/a)?"
            .prop_map(|text| PathMatch::Regex(text.into())),
    ]
}

fn any_value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        4 => "[0-9]".prop_map(|text| ValueMatch::Exact(text.into())),
        1 => "[0-9]".prop_map(|text| ValueMatch::Prefix(text.into())),
        1 => Just(ValueMatch::Regex("[0-4],?.*".into())),
        1 => Just(ValueMatch::Present),
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    let headers = prop::collection::btree_map("x-[ab]", any_value(), 0..3);
    let query = prop::collection::btree_map("[qr]", any_value(), 0..2);
    let method = prop_oneof![3 => Just(None), 1 => Just(Some("GET".into())), 1 => Just(Some("POST".into()))];
    (prop::option::weighted(0.8, any_path()), method, headers, query).prop_map(
        |(path, method, headers, query)| Match {
            path,
            method,
            headers: headers
                .into_iter()
                .map(|(name, value)| HeaderMatch { name: name.into(), value })
                .collect(),
            query: query.into_iter().map(|(name, value)| QueryMatch { name: name.into(), value }).collect(),
        },
    )
}

fn any_table() -> impl Strategy<Value = RouteTable> {
    let hosts = prop_oneof![Just("*"), Just("*.b"), Just("*.a.b"), Just("a.b"), Just("c.a.b")];
    // Few paths and many matches: lists of one path key grow long enough to be split by header and query.
    let matches = prop_oneof![
        prop::collection::vec(any_match(), 0..60),
        prop::collection::vec(any_match().prop_map(|when| Match { path: None, ..when }), 0..60),
    ];
    prop::collection::btree_map(hosts.prop_map(host), matches, 1..4)
        .prop_map(|hosts| source(hosts.into_iter().collect()))
}

fn any_request() -> impl Strategy<Value = (String, request::Parts)> {
    let host = prop_oneof![Just("a.b"), Just("c.a.b"), Just("x.b"), Just("b"), Just("")];
    let target = "(/[ab]{1,2}){1,4}/?|/";
    let query = "(\\?([qrs]=(%3)?[0-9]?&?){0,3})?";
    let headers = prop::collection::vec(("x-[ab]", "[0-9]{1,2}"), 0..4);
    let method = prop_oneof![Just("GET"), Just("POST")];
    (host, method, target, query, headers).prop_map(|(host, method, target, query, headers)| {
        let query = query.replace("%3&", "%33&");
        let query = if query.ends_with("%3") { format!("{query}3") } else { query };
        let mut parts = request(method, &format!("{target}{query}"), &[]);
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            parts.headers.append(name, value.parse().unwrap());
        }
        (host.to_owned(), parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_agrees_with_the_plain_reading(
        table in any_table(),
        requests in prop::collection::vec(any_request(), 1..12),
    ) {
        let compiled = compile(table.clone());
        for (host, parts) in &requests {
            let facts = facts(host, parts);
            let routed = compiled.route(&facts).map(|routed| (routed.rule.index, routed.prefix));
            prop_assert_eq!(routed, scan(&table, &facts), "{} {} {:?}", host, parts.uri, parts.headers);
        }
    }
}
