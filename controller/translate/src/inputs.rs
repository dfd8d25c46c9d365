//! What translation reads: all objects, and the few facts that no object says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::{AnyObject, ObjectKey};

/// Everything that the result depends on. There is no clock: `lastTransitionTime` is set by whoever writes
/// status.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Every object of a kind that we read, by key.
    pub objects: BTreeMap<ObjectKey, AnyObject>,
    /// GatewayClasses that name this controller are ours.
    pub controller_name: String,
    /// How Gateways get their addresses.
    pub addressing: Addressing,
    /// What is known of the mesh around.
    pub mesh: MeshFacts,
}

/// What is known of the mesh around, and no object says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeshFacts {
    /// Istio's CA can be asked: its token and its root are projected where Istio puts them. Decides for kind `Auto`.
    pub istio_ca: bool,
    /// There is a built-in issuer in this process, or the controller's.
    pub built_in: bool,
    /// The trust domain that the built-in issuer was started with; none: the one that GatewayParameters say.
    pub trust_domain: Option<String>,
    /// Every pod that an EndpointSlice may name is among the objects, as where a cluster is watched. A pod that is not
    /// there is then one that is not known yet, and may be meshed. In a folder it is just not written down.
    pub pods: bool,
}

impl Default for MeshFacts {
    /// Those of a process that has a built-in issuer and reads a folder.
    fn default() -> Self {
        Self { istio_ca: false, built_in: true, trust_domain: None, pods: false }
    }
}

/// How Gateways get their addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Addressing {
    /// One process serves every Gateway and binds the sockets itself (`diolkos serve`).
    Bind {
        /// What a Gateway without `spec.addresses` is reached at; reported in its status.
        default: Vec<IpAddr>,
        /// Addresses that can be bound; none if that is not known, then every address is tried.
        local: Option<BTreeSet<IpAddr>>,
    },
    /// Every Gateway has proxies of its own behind a Service that the controller keeps; the Service's status
    /// says what addresses there are (GEP-1762).
    Service,
}

impl Default for Addressing {
    fn default() -> Self {
        Self::Bind { default: Vec::new(), local: None }
    }
}

impl Inputs {
    /// Inputs of these objects, with the default controller name. A later object replaces an earlier one of the
    /// same key.
    pub fn new(objects: impl IntoIterator<Item = AnyObject>) -> Self {
        Self {
            objects: objects.into_iter().map(|object| (object.key(), object)).collect(),
            controller_name: CONTROLLER_NAME.to_owned(),
            addressing: Addressing::default(),
            mesh: MeshFacts::default(),
        }
    }
}

/// The `controllerName` of our GatewayClasses.
pub const CONTROLLER_NAME: &str = "diolkos.io/gateway-controller";
