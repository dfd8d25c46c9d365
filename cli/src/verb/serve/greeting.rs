//! The first words: what is served where, what is wrong, and a command that works.

use std::net::{IpAddr, SocketAddr};

use controller::World;
use model::{Action, HostPattern, Match, PathMatch, Protocol, Snapshot, TlsInner, TlsServer};
use proxy::app::{Applied, Surfaces};

use crate::report::findings;
use crate::report::rows::{self, ListenerRow, Rows};
use crate::verb::check;

/// The status table, the problems, and a `curl` line.
pub(super) fn text(world: &World, applied: &Applied, surfaces: &Surfaces) -> String {
    let listeners = listeners(world, applied);
    let mut text = if listeners.is_empty() {
        "No Gateway of class diolkos here: nothing is served yet. The folder is watched.\n".to_owned()
    } else {
        listeners.table().render()
    };
    text.push_str(&format!("\n{}\n", check::summary(world.objects.len(), &world.findings)));
    text.push_str(&findings::lines(&world.findings));
    if let Some(error) = &applied.error {
        text.push_str(&format!("refused by the proxy: {error}\n"));
    }
    let surfaces = [
        ("ready", surfaces.health, "/healthz/ready"),
        ("metrics", surfaces.metrics, "/stats/prometheus"),
        ("admin", surfaces.admin, "/"),
    ];
    for (what, address, path) in surfaces {
        if let Some(address) = address {
            text.push_str(&format!("{what:<9} http://{address}{path}\n"));
        }
    }
    if let Some(curl) = curl(&world.snapshot, applied) {
        text.push_str(&format!("\nTry:  {curl}\n"));
    }
    text
}

/// Every listener, with where it listens or why it does not.
pub(super) fn listeners(world: &World, applied: &Applied) -> Vec<ListenerRow> {
    let mut rows = rows::listeners(&world.snapshot);
    for row in &mut rows {
        let Some(bound) = applied.listeners.get(&row.name) else { continue };
        match bound {
            Ok(addresses) => {
                row.addresses = addresses.iter().map(|address| address.ip().to_string()).collect()
            }
            Err(reason) => row.state = format!("not listening: {reason}"),
        }
    }
    rows
}

/// A request that the first route that forwards answers.
fn curl(snapshot: &Snapshot, applied: &Applied) -> Option<String> {
    snapshot.listeners.iter().find_map(|(name, listener)| {
        let address = applied.listeners.get(name)?.as_ref().ok()?.first()?;
        match &listener.protocol {
            Protocol::Http(servers) => servers.iter().find_map(|(host, server)| {
                let (route_host, path) = plain_way(snapshot, &server.routes)?;
                let host = concrete(host).or_else(|| concrete(&route_host));
                let host = host.map(|host| format!(" -H 'Host: {host}'")).unwrap_or_default();
                Some(format!("curl{host} http://{}{path}", reachable(*address)))
            }),
            Protocol::Tls(servers) => servers.iter().find_map(|(host, server)| {
                let TlsServer::Terminate { inner: TlsInner::Http(server), .. } = server else { return None };
                let (route_host, path) = plain_way(snapshot, &server.routes)?;
                let host = concrete(host).or_else(|| concrete(&route_host))?;
                let (ip, port) = (reachable(*address).ip(), address.port());
                Some(format!("curl --insecure --resolve {host}:{port}:{ip} https://{host}:{port}{path}"))
            }),
            Protocol::Tcp(_) | Protocol::Udp(_) => None,
        }
    })
}

/// Host and path of a match that asks for nothing but a path.
fn plain_way(snapshot: &Snapshot, table: &model::RouteTableName) -> Option<(HostPattern, String)> {
    let table = snapshot.routes.get(table)?;
    table.hosts.iter().find_map(|(host, matches)| {
        matches.iter().find_map(|route_match| {
            let forwards = matches!(table.rules.get(route_match.rule)?.action, Action::Forward(_));
            path(&route_match.when).filter(|_| forwards).map(|path| (host.clone(), path))
        })
    })
}

fn path(when: &Match) -> Option<String> {
    if !when.headers.is_empty()
        || !when.query.is_empty()
        || when.method.as_deref().is_some_and(|m| m != "GET")
    {
        return None;
    }
    match &when.path {
        None => Some("/".to_owned()),
        Some(PathMatch::Exact(path) | PathMatch::SegmentPrefix(path) | PathMatch::StringPrefix(path)) => {
            Some(path.to_string())
        }
        Some(PathMatch::Regex(_)) => None,
    }
    // The calls of a gRPC service have such a path too, but curl gets no answer from them.
    .filter(|path| !path.trim_start_matches('/').contains('.'))
}

fn concrete(host: &HostPattern) -> Option<String> {
    match host {
        HostPattern::Exact(name) => Some(name.to_string()),
        HostPattern::Wildcard(suffix) => Some(format!("www.{suffix}")),
        HostPattern::Any => None,
    }
}

fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}
