//! Meshed backends: which endpoints are dialled with mesh mTLS, who they must be, which are not dialled at all.
//!
//! Nothing here falls back: an endpoint that is marked as meshed is reached by mesh mTLS or not at all.

mod mark;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::core::Pod;
use api::gateway_api::ObjectMeta;
use api::own::{BackendMeshMode, BackendPolicy, MeshBackendPeer};
use api::{Object, ObjectKey};
use model::{
    ClientTls, Endpoint, EndpointSet, MeshPeer, MeshWire, Origin, PeerProfile, Reach, SubjectName,
    UpstreamTls,
};

use self::mark::Mark;
use self::pods::{Behind, has_sidecar, is_ambient};
use crate::context::Context;
use crate::mesh::{GatewayMesh, service_account_id};
use crate::policy::Levels;
use crate::problem::Problem;
use crate::routes::origin;

/// A backend whose endpoints are asked about.
pub(super) struct Asked<'q, 'a> {
    /// The Service or XBackend.
    pub(super) key: &'q ObjectKey,
    /// Its metadata.
    pub(super) metadata: &'q ObjectMeta,
    /// The port that the reference named.
    pub(super) port: u16,
    /// It is outside the cluster, so its namespace's mark is not about it.
    pub(super) is_external: bool,
    /// The labels by which it finds pods.
    pub(super) selector: Option<&'q BTreeMap<String, String>>,
    /// The name that it is called by, for the SNI.
    pub(super) host: Option<String>,
    /// Datagrams are sent.
    pub(super) datagrams: bool,
    /// TLS that a BackendTLSPolicy or the XBackend itself asks for.
    pub(super) tls: &'q UpstreamTls,
    /// BackendPolicies, from wide to narrow.
    pub(super) policies: &'q Levels<'a, BackendPolicy>,
}

/// Endpoints with how each is reached.
#[derive(Debug, Default)]
pub(super) struct Meshed {
    /// The endpoints.
    pub(super) endpoints: Arc<EndpointSet>,
    /// Some are reached in another way than the backend says.
    pub(super) is_meshed: bool,
    /// None are reached as the backend says, now and whatever endpoints there will be.
    pub(super) is_required: bool,
    /// Field → the object that set it.
    pub(super) set_by: BTreeMap<Arc<str>, Origin>,
}

/// Says how each endpoint is reached from a Gateway.
pub(super) fn reach(
    asked: &Asked<'_, '_>,
    gateway: &GatewayMesh,
    endpoints: &Arc<EndpointSet>,
    context: &mut Context<'_>,
) -> Meshed {
    let mut set_by = BTreeMap::new();
    let mode = asked.policies.pick(|policy| policy.spec.mesh.as_ref()?.mode);
    let peers = asked.policies.pick(|policy| policy.spec.mesh.as_ref()?.peers.as_ref());
    set_by.extend(mode.iter().map(|mode| ("mesh.mode".into(), origin(&mode.by.key()))));
    set_by.extend(peers.iter().map(|peers| ("mesh.peers".into(), origin(&peers.by.key()))));
    let mode = mode.map(|mode| mode.value).unwrap_or_default();
    let spiffe_ids = spiffe_ids(asked.tls);
    let as_backend = match (mode, asked.tls) {
        (BackendMeshMode::Off, _) | (_, UpstreamTls::Closed { .. }) => true,
        // TLS of another kind is somebody's explicit wish, as DestinationRule mode SIMPLE is in Istio.
        (BackendMeshMode::Auto, UpstreamTls::Tls(_)) => spiffe_ids.is_empty(),
        _ => false,
    };
    if as_backend {
        return Meshed { endpoints: endpoints.clone(), is_meshed: false, is_required: false, set_by };
    }
    let named: Vec<Arc<str>> = peers.map(|peers| ids(peers.value)).unwrap_or_default();
    let mark = if mode == BackendMeshMode::Auto { Mark::of(asked, context, &mut set_by) } else { Mark::None };
    let demanded = mode != BackendMeshMode::Auto || !matches!(mark, Mark::None) || !named.is_empty();
    let mut decision = Decision { asked, gateway, mode, mark, named, spiffe_ids, context, set_by };
    let (reached, faults) = decision.all(endpoints);
    let set_by = decision.set_by;
    for (message, mend) in faults {
        context.problems.push(Problem::error(asked.key, "", ("", ""), message, mend));
    }
    let is_meshed = reached.iter().any(|endpoint| endpoint.reach != Reach::AsBackend);
    let all = reached.iter().all(|endpoint| endpoint.reach != Reach::AsBackend);
    let is_required = all && (is_meshed || demanded);
    let endpoints = if is_meshed { Arc::new(EndpointSet(reached)) } else { endpoints.clone() };
    Meshed { endpoints, is_meshed, is_required, set_by }
}

fn ids(peers: &[MeshBackendPeer]) -> Vec<Arc<str>> {
    let ids: BTreeSet<Arc<str>> = peers.iter().map(|peer| peer.spiffe_id.as_str().into()).collect();
    ids.into_iter().collect()
}

/// The SPIFFE IDs among the names that TLS asks for.
fn spiffe_ids(tls: &UpstreamTls) -> Vec<Arc<str>> {
    let UpstreamTls::Tls(ClientTls { names, .. }) = tls else { return Vec::new() };
    let uris = names.iter().filter_map(|name| match name {
        SubjectName::Uri(uri) if uri.starts_with("spiffe://") => Some(uri.clone()),
        _ => None,
    });
    uris.collect()
}

struct Decision<'d, 'q, 'a, 'c> {
    asked: &'d Asked<'q, 'a>,
    gateway: &'d GatewayMesh,
    mode: BackendMeshMode,
    mark: Mark,
    /// Who endpoints may be, as a BackendPolicy says.
    named: Vec<Arc<str>>,
    /// The same, as a BackendTLSPolicy says.
    spiffe_ids: Vec<Arc<str>>,
    context: &'d Context<'c>,
    set_by: BTreeMap<Arc<str>, Origin>,
}

/// What is asked of one endpoint.
enum Demand {
    Nothing,
    Wire(MeshWire),
    /// It cannot be met.
    Closed(Unmet),
}

/// Why an endpoint is not dialled.
struct Unmet {
    message: String,
    /// None if the owner has been told already.
    mend: Option<&'static str>,
}

impl Unmet {
    fn new(message: impl Into<String>, mend: &'static str) -> Self {
        Self { message: message.into(), mend: Some(mend) }
    }
}

impl<'c> Decision<'_, '_, '_, 'c> {
    fn all(&mut self, endpoints: &EndpointSet) -> (Vec<Endpoint>, BTreeSet<(String, &'static str)>) {
        let (namespace, selector) = (&self.asked.key.namespace, self.asked.selector);
        let behind = |endpoint| pods::behind(self.context.index, namespace, selector, endpoint);
        let behind: Vec<_> = endpoints.0.iter().map(behind).collect();
        let has_sidecars = behind.iter().any(|behind| matches!(behind, Behind::Pod(pod) if has_sidecar(pod)));
        let mut faults = BTreeSet::new();
        let mut reached = Vec::with_capacity(endpoints.0.len());
        for (endpoint, behind) in endpoints.0.iter().zip(behind) {
            let demand = self.demand(endpoint, behind, has_sidecars);
            let reach = self.meet(demand, behind).unwrap_or_else(|Unmet { message, mend }| {
                let reason = message.as_str().into();
                faults.extend(mend.map(|mend| (message, mend)));
                Reach::Closed { reason }
            });
            reached.push(Endpoint { reach, ..endpoint.clone() });
        }
        (reached, faults)
    }

    fn demand(&mut self, endpoint: &Endpoint, behind: Behind<'c>, has_sidecars: bool) -> Demand {
        match self.mode {
            BackendMeshMode::Istio => return Demand::Wire(MeshWire::Istio),
            BackendMeshMode::Spiffe => return Demand::Wire(MeshWire::Spiffe),
            BackendMeshMode::Hbone => return not_yet("ambient mode (HBONE)"),
            BackendMeshMode::Linkerd => return not_yet("Linkerd's wire"),
            BackendMeshMode::Auto | BackendMeshMode::Off => {}
        }
        if let Behind::Pod(pod) = behind {
            if has_sidecar(pod) {
                match self.context.peer_authentications.disabling(pod, endpoint.port) {
                    None => return Demand::Wire(MeshWire::Istio),
                    Some(policy) => _ = self.set_by.insert("mesh.disabled".into(), origin(&policy.key())),
                }
            } else if is_ambient(pod, self.context.index) {
                return not_yet("ambient mode (HBONE)");
            }
        }
        match &self.mark {
            Mark::Spiffe => return Demand::Wire(MeshWire::Spiffe),
            Mark::Refused(message) => return Demand::Closed(Unmet { message: message.clone(), mend: None }),
            Mark::None => {}
        }
        if !self.named.is_empty() {
            let message = "a BackendPolicy names who the endpoints may be, but one is not marked as meshed";
            let mend = "set mesh.mode Istio or Spiffe in it, or mark the endpoint";
            return Demand::Closed(Unmet::new(message, mend));
        }
        let pods_are_known = self.context.index.inputs().mesh.pods;
        if let Behind::Unknown { may_be_meshed } = behind
            && (may_be_meshed || pods_are_known || has_sidecars)
        {
            let message = "the pod of an endpoint is not known, and so it may be meshed";
            let mend = "add the Pod, or set mesh.mode in a BackendPolicy";
            return Demand::Closed(Unmet::new(message, mend));
        }
        Demand::Nothing
    }

    /// How an endpoint of which this is asked is reached.
    fn meet(&self, demand: Demand, behind: Behind<'_>) -> Result<Reach, Unmet> {
        let wire = match demand {
            Demand::Nothing => return Ok(Reach::AsBackend),
            Demand::Closed(unmet) => return Err(unmet),
            Demand::Wire(wire) => wire,
        };
        if self.asked.datagrams {
            return Err(Unmet::new("meshed endpoints take no datagrams", OFF));
        }
        if let Some(reason) = &self.gateway.closed {
            let message = format!("the Gateway has no identity to show to meshed endpoints: {reason}");
            return Err(Unmet::new(message, "give it one, or set mesh.mode Off in a BackendPolicy"));
        }
        if self.gateway.profile == PeerProfile::LinkerdDns {
            return Err(Unmet::new("Linkerd's wire is not implemented yet", OFF));
        }
        let ids = match (self.named.as_slice(), self.spiffe_ids.as_slice(), behind) {
            ([_, ..], ..) => self.named.clone(),
            ([], [_, ..], _) => self.spiffe_ids.clone(),
            ([], [], Behind::Pod(pod)) => vec![self.own_id(pod)],
            ([], [], Behind::Unknown { .. } | Behind::Nobody) => {
                let message = "an endpoint is to be meshed, but its pod is not known, nor who it is";
                return Err(Unmet::new(message, "name its SPIFFE ID in mesh.peers of a BackendPolicy"));
            }
        };
        Ok(Reach::Mesh(Arc::new(MeshPeer {
            wire,
            identity: self.gateway.identity.clone(),
            server_name: self.server_name(wire).map(Into::into),
            ids,
        })))
    }

    fn own_id(&self, pod: &Pod) -> Arc<str> {
        let spec = pod.spec.as_ref();
        // The API server keeps the older field the same; in a folder there may be only one of them.
        let account =
            spec.and_then(|spec| spec.service_account_name.as_deref().or(spec.service_account.as_deref()));
        let account = account.filter(|account| !account.is_empty()).unwrap_or("default");
        service_account_id(&self.gateway.trust_domain, pod.namespace(), account)
    }

    /// Istio: `BuildDNSSrvSubsetKey`, by which its east-west gateways route. Others: the name that was asked for.
    fn server_name(&self, wire: MeshWire) -> Option<String> {
        match (wire, self.asked.tls) {
            (MeshWire::Istio, _) => {
                let host = self.asked.host.as_ref()?;
                Some(format!("outbound_.{}_._.{host}", self.asked.port))
            }
            (MeshWire::Spiffe, UpstreamTls::Tls(tls)) => Some(tls.server_name.to_string()),
            (MeshWire::Spiffe, _) => self.asked.host.clone(),
        }
    }
}

fn not_yet(what: &str) -> Demand {
    Demand::Closed(Unmet::new(format!("the endpoints are meshed, and {what} is not implemented yet"), OFF))
}

const OFF: &str = "set mesh.mode Off in a BackendPolicy if plaintext will do";
