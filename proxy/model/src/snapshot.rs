//! The snapshot: the maps, and the check that no name dangles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Action, Backend, BackendName, BackendRef, ClientAuth, ClientTls, EndpointSet, FederatedDomain, Filter,
    GatewayIdentity, IdentityName, IdentitySource, KeyPair, L4Rule, Listener, ListenerName, MeshClients,
    Protocol, Reach, RouteTable, RouteTableName, SecretName, TlsInner, TlsServer, TrustDomainName,
    UpstreamTls, WeightedBackend, is_default, span,
};

/// Everything a proxy needs to serve, fully resolved. Equal inputs give equal snapshots; the generation
/// travels beside it, so that `==` means something.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Sockets.
    pub listeners: BTreeMap<ListenerName, Listener>,
    /// Routes of HTTP listeners. Each table is shared so that an unchanged one costs nothing to compare.
    pub routes: BTreeMap<RouteTableName, Arc<RouteTable>>,
    /// Upstreams.
    pub backends: BTreeMap<BackendName, Arc<Backend>>,
    /// Where upstreams are; a change here never recompiles routes.
    pub endpoints: BTreeMap<BackendName, Arc<EndpointSet>>,
    /// Key pairs, apart from everything else.
    pub secrets: BTreeMap<SecretName, Arc<KeyPair>>,
    /// Workload identities of the gateway's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<IdentityName, Arc<GatewayIdentity>>,
    /// Other trust domains that are believed, beyond those that an identity's source itself brings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub trust_domains: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
    /// What holds for the proxy as a whole (GatewayParameters).
    #[serde(skip_serializing_if = "is_default")]
    pub settings: GatewaySettings,
}

/// What holds for the proxy as a whole.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewaySettings {
    /// After a SIGTERM readiness fails at once and the listeners stay open for this long; none: the proxy's default.
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub drain_delay: Option<Duration>,
    /// Then connections have this long to end; none: the proxy's default.
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub drain_deadline: Option<Duration>,
    /// Access log as text in Istio's order instead of JSON.
    #[serde(skip_serializing_if = "is_default")]
    pub access_log_text: bool,
    /// OTLP endpoint for spans; none exports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing_otlp: Option<Arc<str>>,
    /// Share of new traces that are sampled, in 1/10,000.
    #[serde(skip_serializing_if = "is_default")]
    pub tracing_per_10_000: u32,
    /// Bytes of memory to stay under; 0: from the cgroup.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_limit: u64,
    /// Connections over all listeners; 0: from memory and descriptors.
    #[serde(skip_serializing_if = "is_default")]
    pub connection_limit: u32,
}

/// A name in a snapshot that is no key of the map it points into. Always a defect of whoever built it.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, thiserror::Error)]
#[error("{user} refers to {kind} {name}, which the snapshot does not have")]
pub struct Dangling {
    /// Where the name stands.
    pub user: String,
    /// What it should name.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

impl Snapshot {
    /// Every dangling name; empty for a sound snapshot. The proxy refuses one that is not.
    pub fn dangling(&self) -> Vec<Dangling> {
        let mut check = Check { snapshot: self, found: Vec::new() };
        for (name, listener) in &self.listeners {
            check.listener(name, listener);
        }
        for (name, table) in &self.routes {
            check.table(name, table);
        }
        for (name, backend) in &self.backends {
            if let UpstreamTls::Tls(ClientTls { certificate: Some(secret), .. }) = &backend.tls {
                check.secret(&format!("backend {name}"), secret);
            }
        }
        for (name, endpoints) in &self.endpoints {
            for endpoint in &endpoints.0 {
                if let Reach::Mesh(peer) = &endpoint.reach {
                    check.identity(&format!("endpoints {name}"), &peer.identity);
                }
            }
        }
        for (name, identity) in &self.identities {
            if let IdentitySource::Secret { key_pair, .. } = &identity.source {
                check.secret(&format!("identity {name}"), key_pair);
            }
        }
        check.found
    }
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    found: Vec<Dangling>,
}

impl Check<'_> {
    fn listener(&mut self, name: &ListenerName, listener: &Listener) {
        let user = format!("listener {name}");
        listener.connection.mesh.iter().for_each(|mesh| self.identity(&user, &mesh.identity));
        match &listener.protocol {
            Protocol::Http(servers) => {
                for server in servers.values() {
                    self.routes(&user, &server.routes);
                    self.filters(&user, &server.filters);
                }
            }
            Protocol::Tls(servers) => servers.values().for_each(|server| self.tls_server(&user, server)),
            Protocol::Tcp(rule) | Protocol::Udp(rule) => rule.iter().for_each(|rule| self.l4(&user, rule)),
        }
    }

    fn tls_server(&mut self, user: &str, server: &TlsServer) {
        match server {
            TlsServer::Terminate { tls, inner } => {
                tls.certificates.iter().for_each(|secret| self.secret(user, secret));
                tls.svid.iter().for_each(|identity| self.identity(user, identity));
                if let ClientAuth::Mesh(MeshClients { identity, .. }) = &tls.client_auth {
                    self.identity(user, identity);
                }
                match inner {
                    TlsInner::Http(server) => {
                        self.routes(user, &server.routes);
                        self.filters(user, &server.filters);
                    }
                    TlsInner::Tcp(rules) => rules.values().for_each(|rule| self.l4(user, rule)),
                }
            }
            TlsServer::Passthrough(rules) => rules.values().for_each(|rule| self.l4(user, rule)),
            TlsServer::Closed { .. } => {}
        }
    }

    fn table(&mut self, name: &RouteTableName, table: &RouteTable) {
        let user = format!("route table {name}");
        for route_match in table.hosts.values().flatten() {
            if route_match.rule >= table.rules.len() {
                self.miss(&user, "rule", &route_match.rule.to_string());
            }
        }
        for rule in &table.rules {
            self.filters(&user, &rule.filters);
            if let Action::Forward(forward) = &rule.action {
                self.weighted(&user, &forward.backends);
            }
        }
    }

    fn l4(&mut self, user: &str, rule: &L4Rule) {
        self.weighted(user, &rule.backends);
    }

    fn weighted(&mut self, user: &str, backends: &[WeightedBackend]) {
        for weighted in backends {
            self.backend(user, &weighted.backend);
            self.filters(user, &weighted.filters);
        }
    }

    fn filters(&mut self, user: &str, filters: &[Filter]) {
        for filter in filters {
            match filter {
                Filter::Mirror(mirror) => self.backend(user, &mirror.backend),
                Filter::ExternalAuth(auth) => self.backend(user, &auth.backend),
                Filter::RequestHeaders(_)
                | Filter::ResponseHeaders(_)
                | Filter::Rewrite(_)
                | Filter::Cors(_)
                | Filter::Buffer(_)
                | Filter::Closed { .. } => {}
            }
        }
    }

    fn backend(&mut self, user: &str, backend: &BackendRef) {
        if let BackendRef::Name(name) = backend {
            if !self.snapshot.backends.contains_key(name) {
                self.miss(user, "backend", name.as_str());
            }
            if !self.snapshot.endpoints.contains_key(name) {
                self.miss(user, "endpoints", name.as_str());
            }
        }
    }

    fn routes(&mut self, user: &str, name: &RouteTableName) {
        if !self.snapshot.routes.contains_key(name) {
            self.miss(user, "route table", name.as_str());
        }
    }

    fn secret(&mut self, user: &str, name: &SecretName) {
        if !self.snapshot.secrets.contains_key(name) {
            self.miss(user, "secret", name.as_str());
        }
    }

    fn identity(&mut self, user: &str, name: &IdentityName) {
        if !self.snapshot.identities.contains_key(name) {
            self.miss(user, "identity", name.as_str());
        }
    }

    fn miss(&mut self, user: &str, kind: &'static str, name: &str) {
        self.found.push(Dangling { user: user.to_owned(), kind, name: name.to_owned() });
    }
}
