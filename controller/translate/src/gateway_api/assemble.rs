//! Assembly: listeners that share a port become one socket, routes on a listener one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Object;
use api::ObjectKey;
use api::gateway_api::ListenerSet;
use model::{
    ClientAuth, HostPattern, HttpServer, IdentityName, L4Rule, Listener, ListenerName, Origin, Protocol,
    RouteMatch, RouteTable, RouteTableName, ServerTls, Snapshot, TlsInner, TlsServer,
};

use super::gateway::GatewayState;
use super::listener::{AttachedRoute, ListenerProtocol, ListenerState, ListenerTls};
use super::mesh;
use crate::context::Context;
use crate::policy::listener::{self as policy, Carries, Socket};
use crate::problem::Problem;
use crate::routes::{Rank, origin};

/// Adds what a Gateway's proxies serve to a snapshot.
pub(super) fn add(state: &mut GatewayState<'_>, snapshot: &mut Snapshot, context: &mut Context<'_>) {
    if !state.serves() {
        return;
    }
    let mut sockets = BTreeMap::<(u16, bool), Vec<&mut ListenerState<'_>>>::new();
    for listener in &mut state.listeners {
        if let Some(protocol) = listener.protocol.filter(|_| is_served(listener)) {
            let socket = (listener.spec.port, protocol == ListenerProtocol::Udp);
            sockets.entry(socket).or_default().push(listener);
        }
    }
    for ((port, udp), mut listeners) in sockets {
        let socket = Socket {
            gateway: &state.key,
            mesh: &state.mesh,
            port,
            carries: carries(&listeners),
            listeners: listeners.iter().map(|listener| (&listener.owner, &*listener.spec.name)).collect(),
        };
        let mut connection = policy::connection(&socket, &mut context.policies);
        mesh::warn_of_unknown_peers(&socket, &connection, &mut context.problems);
        mesh::close_partial(&mut listeners, &state.key, connection.mesh.as_ref(), context);
        for listener in &mut listeners {
            let name = (&listener.owner, &*listener.spec.name);
            let (version, by) = policy::min_version(&state.key, name, &context.policies);
            listener.min_version = version;
            let field = format!("{}.tls.minVersion", listener.spec.name);
            connection.set_by.extend(by.map(|by| (field.into(), by)));
            connection.set_by.extend(std::mem::take(&mut listener.set_by));
        }
        let Some(protocol) = protocol(listeners, snapshot, &mut context.problems) else { continue };
        let suffix = if udp { "/udp" } else { "" };
        let name = format!("{}/{}/{port}{suffix}", state.key.namespace, state.key.name);
        let listener = Listener {
            gateway: origin(&state.key),
            addresses: state.addresses.bound.clone(),
            port,
            protocol,
            connection,
        };
        snapshot.listeners.insert(ListenerName::from(name), listener);
    }
}

/// What a socket carries: its listeners are compatible.
fn carries(listeners: &[&mut ListenerState<'_>]) -> Carries {
    let has = |wanted: ListenerProtocol| listeners.iter().any(|listener| listener.protocol == Some(wanted));
    if has(ListenerProtocol::Udp) {
        Carries::Datagrams
    } else if has(ListenerProtocol::Http) || has(ListenerProtocol::Tcp) {
        Carries::Plaintext
    } else {
        let asks = |listener: &&mut ListenerState<'_>| matches!(listener.client_auth, ClientAuth::Mesh(_));
        Carries::Tls { mesh: listeners.iter().any(asks) }
    }
}

/// A listener whose certificates or CA could not be resolved keeps its hostname and refuses handshakes: its
/// clients must not end up at a listener with a wider hostname.
fn is_served(listener: &ListenerState<'_>) -> bool {
    let no_ca = matches!(listener.client_auth, model::ClientAuth::Closed { .. });
    listener.conflict.is_none() && (listener.accepted.is_yes() || no_ca)
}

/// Adds an identity to a snapshot.
pub(super) fn add_identity(name: &IdentityName, snapshot: &mut Snapshot, context: &Context<'_>) {
    if let Some(identity) = context.mesh.identities.get(name) {
        snapshot.identities.insert(name.clone(), identity.clone());
    }
}

/// Adds the backends, endpoints, identities and secrets that a snapshot's listeners and routes name: those and no
/// others. Other trust domains are believed wherever there is an identity.
pub(super) fn fill(snapshot: &mut Snapshot, context: &Context<'_>) {
    // Endpoints name identities in turn, and those name secrets, so the third round is the last that finds any.
    for _ in 0..3 {
        for dangling in snapshot.dangling() {
            let name = dangling.name.as_str();
            match dangling.kind {
                "backend" | "endpoints" => {
                    if let Some((backend, endpoints)) = context.backends.get(&name.into()) {
                        snapshot.backends.insert(name.into(), backend.clone());
                        snapshot.endpoints.insert(name.into(), endpoints.clone());
                    }
                }
                "secret" => {
                    if let Some(pair) = context.certificates.secret(&name.into()) {
                        snapshot.secrets.insert(name.into(), pair.clone());
                    }
                }
                "identity" => add_identity(&name.into(), snapshot, context),
                _ => {}
            }
        }
    }
    if !snapshot.identities.is_empty() {
        snapshot.trust_domains.clone_from(&context.mesh.federated);
    }
}

/// What is spoken on a port: its listeners are compatible, or they would be conflicted.
fn protocol(
    listeners: Vec<&mut ListenerState<'_>>,
    snapshot: &mut Snapshot,
    problems: &mut Vec<Problem>,
) -> Option<Protocol> {
    let mut http = BTreeMap::new();
    let mut tls = BTreeMap::new();
    let mut raw = None;
    for listener in listeners {
        let host = listener.host.clone();
        if matches!(listener.tls, ListenerTls::Closed(_)) {
            // Its host stays its own, but nothing is served there.
            listener.routes.clear();
            listener.filters.clear();
        }
        match listener.protocol? {
            ListenerProtocol::Http => {
                http.insert(host, http_server(listener, snapshot));
            }
            ListenerProtocol::Https | ListenerProtocol::TlsTerminate | ListenerProtocol::TlsPassthrough => {
                tls.insert(host, tls_server(listener, snapshot, problems));
            }
            ListenerProtocol::Tcp => raw = Some(Protocol::Tcp(oldest(listener, problems))),
            ListenerProtocol::Udp => raw = Some(Protocol::Udp(oldest(listener, problems))),
        }
    }
    if raw.is_some() {
        raw
    } else if tls.is_empty() {
        Some(Protocol::Http(http))
    } else {
        Some(Protocol::Tls(tls))
    }
}

fn tls_server(
    listener: &mut ListenerState<'_>,
    snapshot: &mut Snapshot,
    problems: &mut Vec<Problem>,
) -> TlsServer {
    let protocol = listener.protocol;
    if let ListenerTls::Closed(reason) = &listener.tls {
        return TlsServer::Closed { reason: reason.clone() };
    }
    if protocol == Some(ListenerProtocol::TlsPassthrough) {
        return TlsServer::Passthrough(by_sni(listener, problems));
    }
    let (certificates, svid) = match &listener.tls {
        ListenerTls::Certificates(certificates) => (certificates.clone(), None),
        ListenerTls::Svid(identity) => (Vec::new(), Some(identity.clone())),
        ListenerTls::Closed(reason) => return TlsServer::Closed { reason: reason.clone() },
        ListenerTls::Mesh | ListenerTls::None => {
            return TlsServer::Closed { reason: "no certificate".into() };
        }
    };
    let tls = ServerTls {
        certificates,
        svid,
        min_version: listener.min_version,
        client_auth: listener.client_auth.clone(),
    };
    let inner = if protocol == Some(ListenerProtocol::Https) {
        TlsInner::Http(http_server(listener, snapshot))
    } else {
        TlsInner::Tcp(by_sni(listener, problems))
    };
    TlsServer::Terminate { tls, inner }
}

fn http_server(listener: &mut ListenerState<'_>, snapshot: &mut Snapshot) -> HttpServer {
    let ObjectKey { kind, namespace, name, .. } = &listener.owner;
    let section = &listener.spec.name;
    let suffix = if kind == ListenerSet::KIND { "@listenerset" } else { "" };
    let table = RouteTableName::from(format!("{namespace}/{name}/{section}{suffix}"));
    let routes = std::mem::take(&mut listener.routes);
    snapshot.routes.insert(table.clone(), Arc::new(route_table(routes)));
    HttpServer {
        owner: origin(&listener.owner),
        section: section.as_str().into(),
        port: listener.spec.port,
        routes: table,
        filters: listener.filters.clone(),
    }
}

/// One table of all routes on a listener. Within a host pattern matches are in order of precedence: by rank, then
/// by the age and name of the route, then by place in the route.
fn route_table(mut routes: Vec<AttachedRoute>) -> RouteTable {
    by_age(&mut routes);
    let mut rules = Vec::new();
    let mut hosts = BTreeMap::<HostPattern, Vec<(Rank, usize, RouteMatch)>>::new();
    let mut place = 0;
    for AttachedRoute { outcome, .. } in routes {
        let first = rules.len();
        for entry in outcome.entries {
            for host in &outcome.hostnames {
                let way = RouteMatch { when: entry.when.clone(), rule: first + entry.rule };
                hosts.entry(host.clone()).or_default().push((entry.rank, place, way));
            }
            place += 1;
        }
        rules.extend(outcome.rules);
    }
    let sorted = hosts.into_iter().map(|(host, mut ways)| {
        ways.sort_by_key(|(rank, place, _)| (*rank, *place));
        (host, ways.into_iter().map(|(_, _, way)| way).collect())
    });
    RouteTable { hosts: sorted.collect(), rules }
}

/// Rules by SNI; of two routes with one host pattern the older stands.
fn by_sni(listener: &mut ListenerState<'_>, problems: &mut Vec<Problem>) -> BTreeMap<HostPattern, L4Rule> {
    let mut rules = BTreeMap::<HostPattern, L4Rule>::new();
    by_age(&mut listener.routes);
    for AttachedRoute { key, outcome, .. } in std::mem::take(&mut listener.routes) {
        let Some(rule) = outcome.l4 else { continue };
        for host in outcome.hostnames {
            match rules.get(&host) {
                Some(older) => {
                    problems.push(never_serves(&key, &older.origin, &format!("{host} on "), listener))
                }
                None => {
                    rules.insert(host, rule.clone());
                }
            }
        }
    }
    rules
}

/// The rule of the oldest route: nothing tells connections of a TCP or UDP listener apart.
fn oldest(listener: &mut ListenerState<'_>, problems: &mut Vec<Problem>) -> Option<L4Rule> {
    by_age(&mut listener.routes);
    let mut oldest: Option<L4Rule> = None;
    for AttachedRoute { key, outcome, .. } in std::mem::take(&mut listener.routes) {
        match &oldest {
            Some(older) => problems.push(never_serves(&key, &older.origin, "", listener)),
            None => oldest = outcome.l4,
        }
    }
    oldest
}

/// Such a route is accepted and attached nevertheless: the API has no condition for it.
fn never_serves(route: &ObjectKey, older: &Origin, host: &str, listener: &ListenerState<'_>) -> Problem {
    let ListenerState { owner, spec, .. } = listener;
    let message = format!("{older}, which is older, has {host}listener {} of {owner}", spec.name);
    Problem::warning(
        route,
        "spec.parentRefs",
        message,
        "attach it to another listener, or remove one of the two",
    )
}

fn by_age(routes: &mut [AttachedRoute]) {
    routes.sort_by(|a, b| {
        let name = |route: &AttachedRoute| {
            (route.key.namespace.clone(), route.key.name.clone(), route.key.kind.clone())
        };
        a.created.cmp(&b.created).then_with(|| name(a).cmp(&name(b)))
    });
}
