//! WorkloadRegistration: a workload outside Kubernetes to whom the built-in issuer gives an identity.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConditionsStatus, SpiffeId, TrustDomain};
use crate::duration::Duration;

/// A workload outside Kubernetes (a VM, a process on a laptop) to whom the built-in issuer gives an identity over the
/// Workload API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "WorkloadRegistration",
    plural = "workloadregistrations",
    shortname = "wreg",
    category = "diolkos",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    doc = "A workload outside Kubernetes to whom the built-in issuer gives an identity over the Workload API.",
    printcolumn(name = "SPIFFE ID", type_ = "string", json_path = ".spec.spiffeID"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.spiffeID) || has(self.selectors)").message("selectors are needed beside spiffeID: without them nobody is told from others"),
    validation = Rule::new("!has(self.ttl) || duration(self.ttl) > duration('0s')").message("ttl must be longer than 0s"),
)]
pub struct WorkloadRegistrationSpec {
    /// Who the workload is: an ID of the issuer's trust domain, of the form
    /// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/...` with the registration's own namespace.
    /// Default: none, and the registration does nothing.
    #[serde(default, rename = "spiffeID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SpiffeId")]
    pub spiffe_id: Option<SpiffeId>,
    /// How it is told from others: everything that is given must match. Default: nobody matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selectors: Option<WorkloadSelectors>,
    /// Life of its SVIDs; the issuer refuses more than its maximum. Default: the issuer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// DNS names in its SVIDs beside the ID. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
        )
    )]
    pub dns_names: Vec<String>,
    /// Other trust domains whose bundles it gets. Default: those of every FederatedTrustDomain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub federates_with: Option<Vec<TrustDomain>>,
    /// What the identity is for, if a workload has several. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub hint: Option<String>,
}

/// How a workload is told from others: everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.unix) || has(self.pod)").message("selectors need unix or pod: without one nobody is told from others"))]
pub struct WorkloadSelectors {
    /// What the kernel says of the calling process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<UnixSelectors>,
    /// The Kubernetes pod that the calling process runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSelectors>,
}

/// What the kernel says of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.uid) || has(self.gid) || has(self.path)").message("unix needs uid, gid or path: without one nobody is told from others"))]
pub struct UnixSelectors {
    /// Its effective user. Default: anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its effective group. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Path of its program, as `/proc/PID/exe` names it. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = "^/"))]
    pub path: Option<String>,
}

/// The pod that a process runs in, as its cgroup says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSelectors {
    /// The pod's `metadata.uid`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[0-9a-fA-F-]+$"))]
    pub uid: String,
}
