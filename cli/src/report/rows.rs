//! What a snapshot serves, as rows: listeners, routes, backends, endpoints.

use std::collections::BTreeMap;

use model::{
    Action, Address, BackendRef, Endpoint, HostPattern, L4Rule, Listener, ListenerName, Match, MeshWire,
    PathMatch, Protocol, Reach, RouteTable, Snapshot, TlsInner, TlsServer, UpstreamTls, ValueMatch,
    WeightedBackend,
};
use serde::Serialize;

use super::table::Table;

/// A Gateway API listener, as it is served.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerRow {
    #[serde(skip)]
    pub(crate) name: ListenerName,
    pub(crate) gateway: String,
    pub(crate) section: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) port: u16,
    pub(crate) protocol: &'static str,
    pub(crate) hostname: String,
    pub(crate) routes: usize,
    pub(crate) state: String,
}

/// A way through the gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteRow {
    pub(crate) listener: String,
    pub(crate) hostname: String,
    pub(crate) matches: String,
    pub(crate) route: String,
    pub(crate) rule: String,
    pub(crate) action: String,
}

/// A resolved upstream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendRow {
    pub(crate) backend: String,
    pub(crate) protocol: String,
    pub(crate) tls: String,
    pub(crate) balance: String,
    pub(crate) endpoints: usize,
}

/// One address of an upstream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointRow {
    pub(crate) backend: String,
    pub(crate) address: String,
    pub(crate) workload: String,
    pub(crate) zone: String,
    pub(crate) weight: u32,
    /// How it is reached if it is meshed, and who it must be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mesh: String,
    pub(crate) state: &'static str,
}

/// Every listener.
pub(crate) fn listeners(snapshot: &Snapshot) -> Vec<ListenerRow> {
    snapshot.listeners.iter().flat_map(|(name, listener)| sections(snapshot, name, listener)).collect()
}

fn sections(snapshot: &Snapshot, name: &ListenerName, listener: &Listener) -> Vec<ListenerRow> {
    let row = |section: &str, protocol, host: &HostPattern, routes, state: &str| ListenerRow {
        name: name.clone(),
        gateway: listener.gateway.to_string(),
        section: section.to_owned(),
        addresses: listener.addresses.iter().map(ToString::to_string).collect(),
        port: listener.port,
        protocol,
        hostname: host.to_string(),
        routes,
        state: state.to_owned(),
    };
    let count = |name| snapshot.routes.get(name).map_or(0, |table| distinct_routes(table));
    match &listener.protocol {
        Protocol::Http(servers) => servers
            .iter()
            .map(|(host, server)| row(&server.section, "HTTP", host, count(&server.routes), "serving"))
            .collect(),
        Protocol::Tls(servers) => servers
            .iter()
            .map(|(host, server)| match server {
                TlsServer::Terminate { inner: TlsInner::Http(http), .. } => {
                    row(&http.section, "HTTPS", host, count(&http.routes), "serving")
                }
                TlsServer::Terminate { inner: TlsInner::Tcp(rules), .. } => {
                    row("", "TLS", host, distinct(rules.values()), "serving")
                }
                TlsServer::Passthrough(rules) => {
                    row("", "TLS passthrough", host, distinct(rules.values()), "serving")
                }
                TlsServer::Closed { reason } => row("", "TLS", host, 0, &format!("closed: {reason}")),
            })
            .collect(),
        Protocol::Tcp(rule) => vec![row("", "TCP", &HostPattern::Any, rule.iter().count(), "serving")],
        Protocol::Udp(rule) => vec![row("", "UDP", &HostPattern::Any, rule.iter().count(), "serving")],
    }
}

fn distinct_routes(table: &RouteTable) -> usize {
    table.rules.iter().map(|rule| &rule.origin).collect::<std::collections::BTreeSet<_>>().len()
}

fn distinct<'a>(rules: impl Iterator<Item = &'a L4Rule>) -> usize {
    rules.map(|rule| &rule.origin).collect::<std::collections::BTreeSet<_>>().len()
}

/// Every way through the gateway, in the order in which they are tried.
pub(crate) fn routes(snapshot: &Snapshot) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    for (name, table) in &snapshot.routes {
        for (host, matches) in &table.hosts {
            for route_match in matches {
                let Some(rule) = table.rules.get(route_match.rule) else { continue };
                rows.push(RouteRow {
                    listener: name.to_string(),
                    hostname: host.to_string(),
                    matches: describe(&route_match.when),
                    route: rule.origin.to_string(),
                    rule: rule.name.as_deref().map_or_else(|| rule.index.to_string(), str::to_owned),
                    action: action(&rule.action),
                });
            }
        }
    }
    for (name, listener) in &snapshot.listeners {
        l4_rules(listener, |host, rule| {
            rows.push(RouteRow {
                listener: name.to_string(),
                hostname: host.to_string(),
                matches: "any connection".to_owned(),
                route: rule.origin.to_string(),
                rule: "0".to_owned(),
                action: targets(&rule.backends),
            });
        });
    }
    rows
}

fn l4_rules(listener: &Listener, mut each: impl FnMut(&HostPattern, &L4Rule)) {
    let mut all =
        |rules: &BTreeMap<HostPattern, L4Rule>| rules.iter().for_each(|(host, rule)| each(host, rule));
    match &listener.protocol {
        Protocol::Tls(servers) => {
            for server in servers.values() {
                match server {
                    TlsServer::Passthrough(rules)
                    | TlsServer::Terminate { inner: TlsInner::Tcp(rules), .. } => all(rules),
                    TlsServer::Terminate { .. } | TlsServer::Closed { .. } => {}
                }
            }
        }
        Protocol::Tcp(Some(rule)) | Protocol::Udp(Some(rule)) => each(&HostPattern::Any, rule),
        Protocol::Http(_) | Protocol::Tcp(None) | Protocol::Udp(None) => {}
    }
}

fn describe(when: &Match) -> String {
    let mut parts = Vec::new();
    parts.extend(when.method.as_deref().map(str::to_owned));
    parts.push(match &when.path {
        None => "/*".to_owned(),
        Some(PathMatch::Exact(path)) => path.to_string(),
        Some(PathMatch::SegmentPrefix(prefix)) if &**prefix == "/" => "/*".to_owned(),
        Some(PathMatch::SegmentPrefix(prefix)) => format!("{prefix}/*"),
        Some(PathMatch::StringPrefix(prefix)) => format!("{prefix}*"),
        Some(PathMatch::Regex(regex)) => format!("~{regex}"),
    });
    let value = |value: &ValueMatch| match value {
        ValueMatch::Exact(text) => format!("={text}"),
        ValueMatch::Prefix(text) => format!("={text}*"),
        ValueMatch::Regex(regex) => format!("~{regex}"),
        ValueMatch::Present => String::new(),
    };
    parts.extend(when.headers.iter().map(|header| format!("header {}{}", header.name, value(&header.value))));
    parts.extend(when.query.iter().map(|query| format!("query {}{}", query.name, value(&query.value))));
    parts.join(" ")
}

fn action(action: &Action) -> String {
    match action {
        Action::Forward(forward) => targets(&forward.backends),
        Action::Redirect(redirect) => format!("redirect {}", redirect.status),
        Action::Respond { status, .. } => format!("respond {status}"),
    }
}

fn targets(backends: &[WeightedBackend]) -> String {
    let shares = backends.len() > 1;
    let target = |weighted: &WeightedBackend| {
        let name = match &weighted.backend {
            BackendRef::Name(name) => name.to_string(),
            BackendRef::Invalid { reason, status } => format!("{status} ({reason})"),
        };
        if shares { format!("{name}:{}", weighted.weight) } else { name }
    };
    match backends {
        [] => "500 (no backend)".to_owned(),
        backends => backends.iter().map(target).collect::<Vec<_>>().join(", "),
    }
}

/// Every upstream.
pub(crate) fn backends(snapshot: &Snapshot) -> Vec<BackendRow> {
    snapshot
        .backends
        .iter()
        .map(|(name, backend)| BackendRow {
            backend: name.to_string(),
            protocol: format!("{:?}", backend.protocol),
            tls: match &backend.tls {
                UpstreamTls::Plain => "plaintext".to_owned(),
                UpstreamTls::Tls(tls) => format!("TLS, server name {}", tls.server_name),
                UpstreamTls::Closed { reason } => format!("closed: {reason}"),
            },
            balance: format!("{:?}", backend.balance.algorithm),
            endpoints: snapshot.endpoints.get(name).map_or(0, |set| set.0.len()),
        })
        .collect()
}

/// Every address.
pub(crate) fn endpoints(snapshot: &Snapshot) -> Vec<EndpointRow> {
    let row = |backend: &str, endpoint: &Endpoint| EndpointRow {
        backend: backend.to_owned(),
        address: match &endpoint.address {
            Address::Ip(ip) => std::net::SocketAddr::new(*ip, endpoint.port).to_string(),
            Address::Name(name) => format!("{name}:{}", endpoint.port),
        },
        workload: endpoint.workload.to_string(),
        zone: endpoint.zone.to_string(),
        weight: endpoint.weight,
        mesh: mesh(&endpoint.reach),
        state: match (&endpoint.reach, endpoint.draining) {
            (Reach::Closed { .. }, _) => "closed",
            (_, true) => "draining",
            (_, false) => "ready",
        },
    };
    snapshot
        .endpoints
        .iter()
        .flat_map(|(name, set)| set.0.iter().map(|endpoint| row(name.as_str(), endpoint)))
        .collect()
}

/// `istio spiffe://…`, or why there is no way in.
fn mesh(reach: &Reach) -> String {
    match reach {
        Reach::AsBackend => String::new(),
        Reach::Closed { reason } => reason.to_string(),
        Reach::Mesh(peer) => {
            let wire = match peer.wire {
                MeshWire::Istio => "istio",
                MeshWire::Spiffe => "spiffe",
            };
            format!("{wire} {}", peer.ids.join(" or "))
        }
    }
}

/// A table of rows.
pub(crate) trait Rows {
    /// For people.
    fn table(&self) -> Table;
}

impl Rows for Vec<ListenerRow> {
    fn table(&self) -> Table {
        let mut table =
            Table::new(["GATEWAY", "LISTENER", "PORT", "PROTOCOL", "HOSTNAME", "ROUTES", "STATE"]);
        for row in self {
            let place = match row.addresses.as_slice() {
                [] => row.port.to_string(),
                addresses => format!("{}:{}", addresses.join(","), row.port),
            };
            table.row([
                row.gateway.trim_start_matches("Gateway ").to_owned(),
                row.section.clone(),
                place,
                row.protocol.to_owned(),
                row.hostname.clone(),
                row.routes.to_string(),
                row.state.clone(),
            ]);
        }
        table
    }
}

impl Rows for Vec<RouteRow> {
    fn table(&self) -> Table {
        let mut table = Table::new(["LISTENER", "HOSTNAME", "MATCH", "ROUTE", "RULE", "ACTION"]);
        for row in self {
            table.row(
                [&row.listener, &row.hostname, &row.matches, &row.route, &row.rule, &row.action]
                    .map(Clone::clone),
            );
        }
        table
    }
}

impl Rows for Vec<BackendRow> {
    fn table(&self) -> Table {
        let mut table = Table::new(["BACKEND", "PROTOCOL", "TLS", "BALANCE", "ENDPOINTS"]);
        for row in self {
            let endpoints = row.endpoints.to_string();
            table.row([&row.backend, &row.protocol, &row.tls, &row.balance, &endpoints].map(Clone::clone));
        }
        table
    }
}

impl Rows for Vec<EndpointRow> {
    fn table(&self) -> Table {
        let mut table = Table::new(["BACKEND", "ADDRESS", "WORKLOAD", "ZONE", "WEIGHT", "STATE", "MESH"]);
        for row in self {
            let (weight, state) = (row.weight.to_string(), row.state.to_owned());
            table.row(
                [&row.backend, &row.address, &row.workload, &row.zone, &weight, &state, &row.mesh]
                    .map(Clone::clone),
            );
        }
        table
    }
}
