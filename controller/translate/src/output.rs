//! What translation gives: a snapshot per shard, a status per object, and problems.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::ObjectKey;
use api::gateway_api::{GatewayClassStatus, GatewayStatus, ListenerSetStatus, PolicyStatus, RouteStatus};
use api::own::ConditionsStatus;
use model::{FederatedDomain, Origin, Snapshot, TrustDomainName};
use serde::Serialize;

use crate::problem::Problem;

/// The result of [`crate::translate`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What each shard serves.
    pub snapshots: BTreeMap<ShardName, Snapshot>,
    /// What each object's `status` should say. Conditions have no `lastTransitionTime` yet (it is the epoch),
    /// and `Programmed` says what was asked for until [`crate::status::programmed`] has seen acknowledgements.
    pub statuses: BTreeMap<ObjectKey, Status>,
    /// Which shards serve a Gateway or ListenerSet: their acknowledgements make it `Programmed`.
    pub served_by: BTreeMap<ObjectKey, BTreeSet<ShardName>>,
    /// What the built-in issuer is told.
    pub issuer: IssuerConfig,
    /// What is wrong, by object.
    pub problems: Vec<Problem>,
}

/// What the built-in issuer is told: whom to give which identity, whom else to believe.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct IssuerConfig {
    /// The trust domain that the objects ask it to be of; none: they know of no built-in issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<Arc<str>>,
    /// Workloads that its Workload API serves, by `NAMESPACE/NAME` of the WorkloadRegistration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registrations: BTreeMap<Arc<str>, Registration>,
    /// Other trust domains.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub federated: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
}

/// A workload outside Kubernetes (WorkloadRegistration), checked: the ID is of the issuer's trust domain and of the
/// object's namespace, at least one selector is given, and no other registration has the same ones.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Registration {
    /// The object.
    pub origin: Origin,
    /// Who the workload is.
    pub spiffe_id: Arc<str>,
    /// How it is told from others: everything that is given must match.
    pub selectors: Selectors,
    /// Life of its SVIDs; none: the issuer's default.
    #[serde(with = "model::span::option", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// DNS names of its SVIDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<Arc<str>>,
    /// Whose bundles it gets beside its own; none: everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federates_with: Option<Vec<TrustDomainName>>,
    /// What the identity is for, if a workload has several.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hint: Arc<str>,
}

/// What the kernel says of a workload.
#[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize)]
pub struct Selectors {
    /// Effective user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Effective group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Path of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// UID of the Kubernetes pod that the cgroup is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<Arc<str>>,
}

/// The `status` of an object: only what this controller says; entries of others stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is the kind, or the family of kinds, that it is named after")]
pub enum Status {
    GatewayClass(GatewayClassStatus),
    Gateway(GatewayStatus),
    ListenerSet(ListenerSetStatus),
    Route(RouteStatus),
    Policy(PolicyStatus),
    Conditions(ConditionsStatus),
}

/// Names a set of proxies that serve the same snapshot.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize)]
#[serde(transparent)]
pub struct ShardName(Arc<str>);

impl ShardName {
    /// The shard of a process that serves every Gateway.
    pub fn main() -> Self {
        Self("main".into())
    }

    /// The shard of a Gateway that has proxies of its own.
    pub fn of_gateway(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
