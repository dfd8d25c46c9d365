//! What translation gives: a snapshot per shard, a status per object, and problems.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use api::ObjectKey;
use api::gateway_api::{GatewayClassStatus, GatewayStatus, ListenerSetStatus, PolicyStatus, RouteStatus};
use model::Snapshot;
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
    /// What is wrong, by object.
    pub problems: Vec<Problem>,
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
