//! BackendPolicy: the upstream connection.

mod health;
mod load_balancer;

pub use self::health::{ActiveHealth, CheckSchedule, GrpcCheck, Health, HttpCheck, Outlier, TcpCheck};
pub use self::load_balancer::{
    Affinity, AffinityClientIp, AffinityCookie, AffinityName, LoadBalancer, LoadBalancerAlgorithm, Zones,
};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendMesh, TargetRef};
use crate::duration::Duration;
use crate::gateway_api::PolicyStatus;

/// The upstream connection: balancing, health, bounds, how endpoints are connected to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "BackendPolicy",
    plural = "backendpolicies",
    shortname = "bpol",
    category = "diolkos",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "The upstream connection: balancing, health, bounds, how endpoints are connected to.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.ancestors[0].conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackendPolicySpec {
    /// Services and XBackends in the policy's namespace; a port of a Service by `sectionName`.
    /// Default: none, and the policy does nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(t, (t.group == '' && t.kind == 'Service') || (t.group == 'gateway.networking.x-k8s.io' && t.kind == 'XBackend'))").message("a BackendPolicy attaches to kind Service, or to group gateway.networking.x-k8s.io, kind XBackend"))]
    pub target_refs: Vec<TargetRef>,
    /// How an endpoint is picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// Which endpoints are fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Bounds per proxy and backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Circuit>,
    /// How endpoints are connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<BackendConnection>,
    /// What is spoken to endpoints for the mesh's sake. Default: what each endpoint is marked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<BackendMesh>,
}

/// Bounds per proxy and backend; 0 is no limit. What is beyond them is answered 503 at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Circuit {
    /// Connections at once. Default: 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests that wait for a connection. Default: 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Requests at once. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
}

/// How endpoints are connected to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendConnection {
    /// TCP and TLS together. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// An unused connection is closed after this. Default: `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Requests on one connection before it is closed. Default: 0, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// What endpoints speak. Default: `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpstreamProtocol")]
    pub protocol: Option<UpstreamProtocol>,
    /// PROXY protocol header that is sent first. Default: `Off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SendProxyProtocol")]
    pub proxy_protocol: Option<SendProxyProtocol>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamProtocol {
    /// What `appProtocol` of the Service's port says; otherwise HTTP/1.1 in plaintext, and over TLS what
    /// ALPN settles on. For a GRPCRoute HTTP/2.
    #[default]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2, in plaintext by prior knowledge.
    #[serde(rename = "HTTP2")]
    Http2,
}

/// PROXY protocol towards endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SendProxyProtocol {
    /// None.
    #[default]
    Off,
    /// The text form.
    V1,
    /// The binary form.
    V2,
}
