//! What pages show of the configuration and of what happens.

use std::collections::BTreeMap;

use model::{
    Action, BackendRef, HostPattern, L4Rule, Match, Protocol, Rule, TlsInner, TlsServer, WeightedBackend,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::compiled::Compiled;
use crate::mesh::{LiveIdentity, MeshIdentities};
use crate::overload::Overload;
use crate::upstream::clock::Moment;
use crate::upstream::{BackendHandle, BackendTls, Way};

/// A way into a rule.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteView<'a> {
    table: &'a str,
    host: &'a HostPattern,
    #[serde(rename = "match")]
    when: &'a Match,
    origin: String,
    rule: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    action: Value,
}

/// All routes: per table and host, in order of precedence.
pub(super) fn routes(compiled: &Compiled) -> Vec<RouteView<'_>> {
    let mut views = Vec::new();
    for (name, table) in &compiled.snapshot.routes {
        for (host, matches) in &table.hosts {
            for entry in matches {
                let Some(rule) = table.rules.get(entry.rule) else { continue };
                views.push(RouteView {
                    table: name.as_str(),
                    host,
                    when: &entry.when,
                    origin: rule.origin.to_string(),
                    rule: rule.index,
                    name: rule.name.as_deref(),
                    action: action(rule),
                });
            }
        }
    }
    views
}

fn action(rule: &Rule) -> Value {
    match &rule.action {
        Action::Forward(forward) => json!({ "forward": targets(&forward.backends) }),
        Action::Redirect(redirect) => json!({ "redirect": redirect }),
        Action::Respond { status, .. } => json!({ "respond": status }),
    }
}

fn targets(backends: &[WeightedBackend]) -> Vec<Value> {
    backends
        .iter()
        .map(|target| match &target.backend {
            BackendRef::Name(name) => json!({ "backend": name, "weight": target.weight }),
            BackendRef::Invalid { reason, status } => {
                json!({ "invalid": reason, "status": status, "weight": target.weight })
            }
        })
        .collect()
}

/// All listeners.
pub(super) fn listeners(compiled: &Compiled) -> Vec<Value> {
    compiled
        .snapshot
        .listeners
        .iter()
        .map(|(name, listener)| {
            let (protocol, hosts) = protocol(&listener.protocol);
            json!({
                "name": name,
                "gateway": listener.gateway.to_string(),
                "addresses": listener.addresses,
                "port": listener.port,
                "protocol": protocol,
                "hosts": hosts,
                "connection": listener.connection,
            })
        })
        .collect()
}

fn protocol(protocol: &Protocol) -> (&'static str, Value) {
    match protocol {
        Protocol::Http(servers) => {
            let hosts: BTreeMap<_, _> = servers
                .iter()
                .map(|(host, server)| {
                    (host.to_string(), json!({ "section": server.section, "routes": server.routes }))
                })
                .collect();
            ("HTTP", json!(hosts))
        }
        Protocol::Tls(servers) => {
            let hosts: BTreeMap<_, _> =
                servers.iter().map(|(host, server)| (host.to_string(), tls(server))).collect();
            ("TLS", json!(hosts))
        }
        Protocol::Tcp(rule) => ("TCP", rule.as_ref().map_or(Value::Null, l4)),
        Protocol::Udp(rule) => ("UDP", rule.as_ref().map_or(Value::Null, l4)),
    }
}

fn tls(server: &TlsServer) -> Value {
    let rules = |rules: &BTreeMap<HostPattern, L4Rule>| {
        rules.iter().map(|(host, rule)| (host.to_string(), l4(rule))).collect::<BTreeMap<_, _>>()
    };
    match server {
        TlsServer::Terminate { tls, inner: TlsInner::Http(server) } => json!({
            "terminate": { "section": server.section, "routes": server.routes, "certificates": tls.certificates, "svid": tls.svid },
        }),
        TlsServer::Terminate { tls, inner: TlsInner::Tcp(inner) } => json!({
            "terminate": { "tcp": rules(inner), "certificates": tls.certificates, "svid": tls.svid },
        }),
        TlsServer::Passthrough(inner) => json!({ "passthrough": rules(inner) }),
        TlsServer::Closed { reason } => json!({ "closed": reason }),
    }
}

fn l4(rule: &L4Rule) -> Value {
    json!({ "route": rule.origin.to_string(), "backends": targets(&rule.backends) })
}

/// All backends.
pub(super) fn backends(compiled: &Compiled) -> Vec<Value> {
    sorted(compiled)
        .into_iter()
        .map(|backend| {
            let tls = match &backend.tls {
                BackendTls::Plain => json!("plain"),
                BackendTls::Tls { .. } => json!("tls"),
                BackendTls::Closed { reason } => json!({ "closed": reason }),
            };
            let circuit = &backend.live().circuit;
            let now = Moment::now();
            let members = backend.members();
            json!({
                "name": backend.name,
                "origin": backend.spec.origin.to_string(),
                "protocol": backend.spec.protocol,
                "tls": tls,
                "endpoints": members.len(),
                "fit": members.iter().filter(|member| member.fit(now)).count(),
                "connections": circuit.connections(),
                "requests": circuit.requests(),
                "pending": circuit.pending(),
                "policy": &*backend.spec,
            })
        })
        .collect()
}

/// All endpoints by backend.
pub(super) fn endpoints(compiled: &Compiled) -> BTreeMap<&str, Vec<Value>> {
    let now = Moment::now();
    let of = |backend: &BackendHandle| -> Vec<Value> {
        backend
            .members()
            .iter()
            .map(|member| {
                let state = &member.state;
                json!({
                    "address": state.address,
                    "port": state.port,
                    "fit": member.fit(now),
                    "reach": reach(&member.way),
                    "passesChecks": state.passes_checks(),
                    "ejected": state.ejected(now),
                    "inFlight": state.in_flight(),
                    "token": state.token.to_string(),
                })
            })
            .collect()
    };
    sorted(compiled).into_iter().map(|backend| (backend.name.as_str(), of(backend))).collect()
}

/// How an endpoint is reached.
fn reach(way: &Way) -> Value {
    match way {
        Way::AsBackend => json!("asBackend"),
        Way::Mesh(target) => match &target.configs {
            Ok(_) => json!({ "mesh": &*target.peer }),
            Err(reason) => json!({ "closed": reason }),
        },
        Way::Closed { reason } => json!({ "closed": reason }),
    }
}

/// Workload identities, and the connections that stand on them.
pub(super) fn identities(identities: &MeshIdentities) -> Vec<Value> {
    let of = |live: &LiveIdentity| {
        let mut view = serde_json::to_value(live.identity().status()).unwrap_or_default();
        if let Some(view) = view.as_object_mut() {
            view.insert("connections".to_owned(), live.counters().active.value().into());
        }
        view
    };
    identities.iter().map(|live| of(live)).collect()
}

fn sorted(compiled: &Compiled) -> Vec<&BackendHandle> {
    let mut backends: Vec<_> = compiled.backends.values().map(AsRef::as_ref).collect();
    backends.sort_by(|a: &&BackendHandle, b| a.name.cmp(&b.name));
    backends
}

/// How full the process is.
pub(super) fn memory(overload: &Overload) -> Value {
    json!({
        "usage": overload.usage(),
        "pressure": format!("{:?}", overload.pressure()),
        "connections": overload.connections(),
        "connectionLimit": overload.connection_limit(),
    })
}
