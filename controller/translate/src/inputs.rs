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
        }
    }
}

/// The `controllerName` of our GatewayClasses.
pub const CONTROLLER_NAME: &str = "diolkos.io/gateway-controller";
