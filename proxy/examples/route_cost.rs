//! What a route match costs against the number of hosts and routes: `cargo run --release -p proxy --example route_cost`.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, reason = "a wrong measurement should stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method};
use model::{
    Action, HeaderMatch, HostPattern, Match, Origin, PathMatch, RouteMatch, RouteTable, Rule, Snapshot,
    ValueMatch,
};
use proxy::compiled::{BuildContext, Compiled, CompiledTable, Facts};
use proxy::http::canonical::{canonical_host, canonical_path};

/// A request as the matcher sees it.
struct Asked {
    host: String,
    path: String,
    headers: HeaderMap,
}

/// A table and requests that each find a route in it.
type Case = (&'static str, fn(usize) -> (RouteTable, Vec<Asked>));

fn main() {
    println!("{:<44} {:>8} {:>10} {:>12} {:>14}", "table", "size", "ns/match", "build ms", "change ms");
    let cases: [Case; 6] = [
        ("hosts, one route each", hosts),
        ("one host, exact paths", exact),
        ("one host, path prefixes", prefixes),
        ("one host, expressions with a literal head", expressions),
        ("one host, one path, told apart by header", headers),
        ("wildcard hosts, one route each", wildcards),
    ];
    for (name, case) in cases {
        for size in [10, 1_000, 10_000] {
            let (table, asked) = case(size);
            let (first, built) = build(table.clone(), None);
            let changed = with_one_more(table);
            let (_, rebuilt) = build(changed, Some(&first));
            let nanos = measure(first.tables.get("t").unwrap(), &asked);
            println!("{name:<44} {size:>8} {nanos:>10.1} {:>12.2} {:>14.2}", millis(built), millis(rebuilt));
        }
    }
    println!("{:<44} {:>8} {:>10.1}", "canonical host and path", "", canonical());
}

fn measure(table: &CompiledTable, asked: &[Asked]) -> f64 {
    let rounds = (200_000 / asked.len()).max(1);
    let mut best = f64::MAX;
    for _ in 0..4 {
        let start = on_cpu();
        for _ in 0..rounds {
            for request in asked {
                let facts = Facts {
                    host: &request.host,
                    path: &request.path,
                    query: None,
                    method: &Method::GET,
                    headers: &request.headers,
                };
                assert!(black_box(table.route(black_box(&facts))).is_some());
            }
        }
        best = best.min((on_cpu() - start) as f64 / (rounds * asked.len()) as f64);
    }
    best
}

/// Nanoseconds that this thread was on a core: whatever else the machine does is left out.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn canonical() -> f64 {
    let start = on_cpu();
    let rounds = 200_000;
    for _ in 0..rounds {
        assert!(canonical_host(black_box("shop.example.com:8443")).is_ok());
        assert!(canonical_path(black_box("/api/v1/orders/12345/items")).is_ok());
    }
    (on_cpu() - start) as f64 / f64::from(rounds)
}

fn build(table: RouteTable, previous: Option<&Compiled>) -> (Compiled, Duration) {
    let routes = BTreeMap::from([("t".into(), Arc::new(table))]);
    let snapshot = Arc::new(Snapshot { routes, ..Snapshot::default() });
    let start = Instant::now();
    let compiled = Compiled::build(&snapshot, previous, &BuildContext::default()).unwrap();
    (compiled, start.elapsed())
}

fn with_one_more(mut table: RouteTable) -> RouteTable {
    let rule = table.rules.len();
    table.rules.push(new_rule(rule));
    let when = Match { path: Some(PathMatch::Exact("/added".into())), ..Match::default() };
    let routes = table.hosts.values_mut().next().unwrap();
    routes.push(RouteMatch { when, rule });
    table
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn new_rule(index: usize) -> Rule {
    Rule {
        origin: Origin::new("HTTPRoute", "shop", format!("route-{index}")),
        index: 0,
        name: None,
        filters: Vec::new(),
        action: Action::Respond { status: 200, body: "".into() },
        set_by: BTreeMap::new(),
    }
}

fn table(matches: impl Iterator<Item = (HostPattern, Match)>) -> RouteTable {
    let mut table = RouteTable::default();
    for (host, when) in matches {
        let rule = table.rules.len();
        table.hosts.entry(host).or_default().push(RouteMatch { when, rule });
        table.rules.push(new_rule(rule));
    }
    table
}

fn on_path(path: PathMatch) -> Match {
    Match { path: Some(path), ..Match::default() }
}

/// Requests in an order that the cache cannot foresee.
fn asked(size: usize, ask: impl Fn(usize) -> (String, String)) -> Vec<Asked> {
    (0..size)
        .map(|n| {
            let (host, path) = ask(n.wrapping_mul(7_919) % size);
            Asked { host, path, headers: HeaderMap::new() }
        })
        .collect()
}

fn hosts(size: usize) -> (RouteTable, Vec<Asked>) {
    let host = |n| format!("shop-{n}.apps.example.com");
    let all = (0..size).map(|n| (host(n).parse().unwrap(), on_path(PathMatch::SegmentPrefix("/".into()))));
    (table(all), asked(size, |n| (host(n), "/api/v1/orders/12345".to_owned())))
}

fn wildcards(size: usize) -> (RouteTable, Vec<Asked>) {
    let all = (0..size).map(|n| {
        (format!("*.shop-{n}.example.com").parse().unwrap(), on_path(PathMatch::SegmentPrefix("/".into())))
    });
    (table(all), asked(size, |n| (format!("eu.www.shop-{n}.example.com"), "/api/v1/orders".to_owned())))
}

fn exact(size: usize) -> (RouteTable, Vec<Asked>) {
    let path = |n| format!("/api/v1/service-{n}/orders");
    let all = (0..size).map(|n| (HostPattern::Any, on_path(PathMatch::Exact(path(n).into()))));
    (table(all), asked(size, |n| ("shop.example.com".to_owned(), path(n))))
}

fn prefixes(size: usize) -> (RouteTable, Vec<Asked>) {
    let path = |n| format!("/api/v1/service-{n}");
    let all = (0..size).map(|n| (HostPattern::Any, on_path(PathMatch::SegmentPrefix(path(n).into()))));
    let rest = std::iter::once((HostPattern::Any, on_path(PathMatch::SegmentPrefix("/".into()))));
    (
        table(all.chain(rest)),
        asked(size, |n| ("shop.example.com".to_owned(), format!("{}/orders/12345", path(n)))),
    )
}

fn expressions(size: usize) -> (RouteTable, Vec<Asked>) {
    let all = (0..size)
        .map(|n| (HostPattern::Any, on_path(PathMatch::Regex(format!("/api/v1/service-{n}/[0-9]+").into()))));
    (table(all), asked(size, |n| ("shop.example.com".to_owned(), format!("/api/v1/service-{n}/12345"))))
}

fn headers(size: usize) -> (RouteTable, Vec<Asked>) {
    let all = (0..size).map(|n| {
        let value = ValueMatch::Exact(format!("tenant-{n}").into());
        let headers = vec![HeaderMatch { name: "x-tenant".into(), value }];
        (
            HostPattern::Any,
            Match { path: Some(PathMatch::SegmentPrefix("/".into())), headers, ..Match::default() },
        )
    });
    let mut asked = asked(size, |n| (n.to_string(), "/api/v1/orders".to_owned()));
    for request in &mut asked {
        let value = HeaderValue::from_str(&format!("tenant-{}", request.host)).unwrap();
        request.headers.insert("x-tenant", value);
    }
    (table(all), asked)
}
