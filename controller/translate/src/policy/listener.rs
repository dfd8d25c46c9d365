//! ListenerPolicy: what holds for a socket, and for the TLS of each listener on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::ObjectKey;
use api::own::{
    self, ClientCertHeader as WantedCert, ListenerMeshMode, ListenerPolicy, ListenerPolicySpec,
    ProxyProtocolMode as WantedMode, Quantity, TargetRef,
};
use model::{
    ClientCertHeader, ConnectionPolicy, Forwarded, ListenerLimits, MeshClients, MeshMode, Origin, PeerMatch,
    ProxyProtocol, ProxyProtocolMode, TlsVersion,
};

use super::fields::fields;
use super::targets::Policy;
use super::{Level, Levels, Policies};
use crate::mesh::{GatewayMesh, peer_matches};
use crate::routes::origin;
use crate::status::Verdict;

impl Policy for ListenerPolicy {
    fn target_refs(&self) -> &[TargetRef] {
        &self.spec.target_refs
    }

    fn is_enforced(&self) -> bool {
        self.spec.enforce == Some(true)
    }

    fn fields(&self) -> BTreeSet<String> {
        fields(&self.spec, &[])
    }
}

/// The listeners that share a socket.
pub(crate) struct Socket<'s> {
    /// The Gateway that they belong to.
    pub(crate) gateway: &'s ObjectKey,
    /// Who that is in its mesh.
    pub(crate) mesh: &'s GatewayMesh,
    /// The port as the user wrote it.
    pub(crate) port: u16,
    /// What is on it.
    pub(crate) carries: Carries,
    /// Who wrote each, and its name there.
    pub(crate) listeners: Vec<(&'s ObjectKey, &'s str)>,
}

/// What is on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Carries {
    /// HTTP or bytes, so that mesh peers are looked for on the socket itself.
    Plaintext,
    /// TLS: each listener says itself what clients must show; `mesh` if one asks for SVIDs.
    Tls { mesh: bool },
    /// Datagrams, of which nobody's identity is known.
    Datagrams,
}

/// What policies say of mesh peers as clients of one listener.
pub(crate) struct MeshChoice<'a> {
    /// Whether clients must be mesh peers.
    pub(crate) mode: ListenerMeshMode,
    /// Whose word that is.
    pub(crate) by: &'a ListenerPolicy,
    peers: Option<(Vec<PeerMatch>, &'a ListenerPolicy)>,
}

impl MeshChoice<'_> {
    /// As the IR says it; none if no SVID is asked for.
    pub(crate) fn clients(&self, gateway: &GatewayMesh) -> Option<MeshClients> {
        let mode = match self.mode {
            ListenerMeshMode::Off => return None,
            ListenerMeshMode::Permissive => MeshMode::Permissive,
            ListenerMeshMode::Strict => MeshMode::Strict,
        };
        let own = || vec![PeerMatch::TrustDomain(gateway.trust_domain.clone())];
        let peers = self.peers.as_ref().map_or_else(own, |(peers, _)| peers.clone());
        Some(MeshClients { identity: gateway.identity.clone(), mode, peers })
    }

    /// Whose words they are, by field of a listener.
    pub(crate) fn set_by(&self, section: &str) -> Vec<(Arc<str>, Origin)> {
        let peers = self.peers.iter().map(|(_, by)| ("mesh.peers", *by));
        let all = [("mesh.mode", self.by)].into_iter().chain(peers);
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        all.map(|(field, by)| (format!("{prefix}{field}").into(), origin(&api::Object::key(by)))).collect()
    }
}

/// What policies say of mesh peers as clients of a listener; none if nobody says anything.
pub(crate) fn mesh<'a>(
    gateway: &ObjectKey,
    (owner, section): (&ObjectKey, &str),
    policies: &Policies<'a>,
) -> Option<MeshChoice<'a>> {
    if policies.listener.is_empty() {
        return None;
    }
    mesh_at(&policies.listener.at(levels(gateway, owner, Some(section))))
}

fn mesh_at<'a>(levels: &Levels<'a, ListenerPolicy>) -> Option<MeshChoice<'a>> {
    let mode = levels.pick(|policy| policy.spec.mesh.as_ref()?.mode)?;
    let peers = levels.pick(|policy| policy.spec.mesh.as_ref()?.peers.as_deref());
    // An empty list is nobody's word. One that holds nothing sound is a word that lets nobody in.
    let peers = peers.filter(|peers| !peers.value.is_empty());
    let peers = peers.map(|peers| (peer_matches(peers.value), peers.by));
    Some(MeshChoice { mode: mode.value, by: mode.by, peers })
}

/// The object that a policy names to act on a listener: its owner, else the Gateway.
pub(crate) fn target_of(policy: &ListenerPolicy, gateway: &ObjectKey, owner: &ObjectKey) -> ObjectKey {
    let names = |key: &ObjectKey| {
        policy.spec.target_refs.iter().any(|target| target.kind == key.kind && target.name == key.name)
    };
    if names(owner) { owner.clone() } else { gateway.clone() }
}

/// What holds for a connection, before it is known for which of the socket's listeners it is: only policies that
/// act on all of them can have a say. One that acts on some of them is told so.
pub(crate) fn connection(socket: &Socket<'_>, policies: &mut Policies<'_>) -> ConnectionPolicy {
    let levels = policies.listener.at(shared_levels(socket));
    let choice = mesh_at(&levels).filter(|_| socket.carries == Carries::Plaintext);
    let mut merge = Merge { levels, set_by: BTreeMap::new() };
    merge.set_by.extend(choice.iter().flat_map(|choice| choice.set_by("")));
    let mesh = choice.and_then(|choice| choice.clients(socket.mesh));
    let has_mesh_clients = mesh.is_some() || socket.carries == Carries::Tls { mesh: true };
    let policy = ConnectionPolicy {
        proxy_protocol: merge.proxy_protocol(),
        forwarded: merge.forwarded(has_mesh_clients),
        mesh,
        limits: merge.limits(),
        set_by: merge.set_by,
    };
    refuse_partial(socket, policies);
    policy
}

/// The lowest TLS version of one listener, and who set it.
pub(crate) fn min_version(
    gateway: &ObjectKey,
    (owner, section): (&ObjectKey, &str),
    policies: &Policies<'_>,
) -> (TlsVersion, Option<Origin>) {
    let levels = policies.listener.at(levels(gateway, owner, Some(section)));
    let mut merge = Merge { levels, set_by: BTreeMap::new() };
    let version = merge.pick("tls.minVersion", |spec| spec.tls.as_ref()?.min_version);
    let version = match version {
        None | Some(own::TlsVersion::V1_2) => TlsVersion::V1_2,
        Some(own::TlsVersion::V1_3) => TlsVersion::V1_3,
    };
    (version, merge.set_by.into_values().next())
}

/// From wide to narrow: the Gateway, the ListenerSet, the listener.
fn levels(gateway: &ObjectKey, owner: &ObjectKey, section: Option<&str>) -> Vec<Level> {
    let mut levels = Level::whole(gateway).to_vec();
    if owner != gateway {
        levels.extend(Level::whole(owner));
    }
    levels.extend(section.map(|section| Level::section(owner, section)));
    levels
}

/// The levels that act on every listener of a socket.
fn shared_levels(socket: &Socket<'_>) -> Vec<Level> {
    let gateway = socket.gateway;
    match socket.listeners.as_slice() {
        [(owner, section)] => levels(gateway, owner, Some(section)),
        [(owner, _), rest @ ..] if rest.iter().all(|(other, _)| other == owner) => {
            levels(gateway, owner, None)
        }
        _ => Level::whole(gateway).to_vec(),
    }
}

fn refuse_partial(socket: &Socket<'_>, policies: &mut Policies<'_>) {
    let shared = shared_levels(socket);
    let mut refused = Vec::new();
    for (owner, section) in &socket.listeners {
        for level in levels(socket.gateway, owner, Some(section)) {
            if shared.contains(&level) {
                continue;
            }
            for policy in policies.listener.at([level.clone()]).iter() {
                let own = |field: &String| {
                    let of_mesh = field.starts_with("mesh.") && socket.carries != Carries::Plaintext;
                    field.starts_with("tls.") || of_mesh
                };
                let about = policy.fields().into_iter().filter(|field| !own(field));
                let about: Vec<_> = about.collect();
                if !about.is_empty() {
                    refused.push((policy, (*owner).clone(), about.join(", ")));
                }
            }
        }
    }
    for (policy, owner, about) in refused {
        let port = socket.port;
        let message = format!(
            "It cannot set {about} for some of the listeners on port {port}, which share its connections; \
             target {} as a whole, or give the listener a port of its own",
            socket.gateway
        );
        policies.listener.verdict(policy, &owner, Verdict::no("Invalid", message));
    }
}

/// The merge of one place, field by field.
struct Merge<'a> {
    levels: Levels<'a, ListenerPolicy>,
    set_by: BTreeMap<Arc<str>, Origin>,
}

impl<'a> Merge<'a> {
    fn pick<T>(&mut self, field: &str, of: impl Fn(&'a ListenerPolicySpec) -> Option<T>) -> Option<T> {
        let picked = self.levels.pick(|policy| of(&policy.spec))?;
        self.set_by.insert(field.into(), origin(&api::Object::key(picked.by)));
        Some(picked.value)
    }

    fn limit<T>(&mut self, field: &str, of: impl Fn(&'a own::ListenerLimits) -> Option<T>) -> Option<T> {
        self.pick(&format!("limits.{field}"), |spec| of(spec.limits.as_ref()?))
    }

    fn proxy_protocol(&mut self) -> ProxyProtocol {
        let mode = self.pick("proxyProtocol.mode", |spec| spec.proxy_protocol.as_ref()?.mode);
        let trusted =
            self.pick("proxyProtocol.trusted", |spec| spec.proxy_protocol.as_ref()?.trusted.as_ref());
        ProxyProtocol {
            mode: match mode {
                None | Some(WantedMode::Off) => ProxyProtocolMode::Off,
                Some(WantedMode::Optional) => ProxyProtocolMode::Optional,
                Some(WantedMode::Required) => ProxyProtocolMode::Required,
            },
            trusted: trusted.into_iter().flatten().map(|range| range.get()).collect(),
        }
    }

    /// With mesh clients their facts are passed on unless somebody says otherwise, as Istio's gateways do.
    fn forwarded(&mut self, has_mesh_clients: bool) -> Forwarded {
        let hops = self.pick("forwarded.trustedHops", |spec| spec.forwarded.as_ref()?.trusted_hops);
        let trusted = self.pick("forwarded.trusted", |spec| spec.forwarded.as_ref()?.trusted.as_ref());
        let peers =
            self.pick("forwarded.trustedPeers", |spec| spec.forwarded.as_ref()?.trusted_peers.as_ref());
        let cert = self.pick("forwarded.clientCert", |spec| spec.forwarded.as_ref()?.client_cert);
        Forwarded {
            trusted_hops: hops.unwrap_or_default(),
            trusted: trusted.into_iter().flatten().map(|range| range.get()).collect(),
            trusted_peers: peers.map(|peers| peer_matches(peers)).unwrap_or_default(),
            client_cert: match cert {
                None if has_mesh_clients => ClientCertHeader::SanitizeSet,
                None | Some(WantedCert::Sanitize) => ClientCertHeader::Sanitize,
                Some(WantedCert::SanitizeSet) => ClientCertHeader::SanitizeSet,
                Some(WantedCert::AppendForward) => ClientCertHeader::AppendForward,
                Some(WantedCert::ForwardOnly) => ClientCertHeader::ForwardOnly,
            },
        }
    }

    fn limits(&mut self) -> ListenerLimits {
        let default = ListenerLimits::default();
        ListenerLimits {
            connections: self.limit("connections", |own| own.connections).unwrap_or(default.connections),
            requests_per_connection: self
                .limit("requestsPerConnection", |own| own.requests_per_connection)
                .unwrap_or(default.requests_per_connection),
            header_bytes: self
                .limit("headerBytes", |own| own.header_bytes)
                .map_or(default.header_bytes, bytes),
            headers: self.limit("headers", |own| own.headers).unwrap_or(default.headers),
            uri_bytes: self.limit("uriBytes", |own| own.uri_bytes).map_or(default.uri_bytes, bytes),
            streams: self.limit("streams", |own| own.streams).unwrap_or(default.streams),
            header_timeout: self
                .limit("headerTimeout", |own| own.header_timeout)
                .map_or(default.header_timeout, Into::into),
            handshake_timeout: self
                .limit("handshakeTimeout", |own| own.handshake_timeout)
                .map_or(default.handshake_timeout, Into::into),
            idle_timeout: self
                .limit("idleTimeout", |own| own.idle_timeout)
                .map_or(default.idle_timeout, Into::into),
            max_age: self.limit("maxAge", |own| own.max_age).map_or(default.max_age, Into::into),
        }
    }
}

fn bytes(quantity: Quantity) -> u32 {
    u32::try_from(quantity.bytes()).unwrap_or(u32::MAX)
}
