//! GatewayParameters: how the gateway itself is run.

#[expect(unreachable_pub, reason = "KubeSchema copies each struct into a private block")]
mod mesh;

pub use self::mesh::{
    BuiltInIdentity, GatewayMesh, IdentityFiles, IstioCa, IstioRoot, LinkerdIdentity, MeshIdentity, MeshKind,
    WellKnownRoots, WorkloadApi,
};

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{AutoOr, Quantity};
use crate::duration::Duration;

/// How the gateway itself is run; a GatewayClass or Gateway names it in `parametersRef`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "GatewayParameters",
    plural = "gatewayparameters",
    shortname = "gwp",
    category = "diolkos",
    namespaced,
    derive = "PartialEq",
    doc = "How the gateway itself is run; a GatewayClass or Gateway names it in parametersRef.",
    printcolumn(name = "Mesh", type_ = "string", json_path = ".spec.mesh.kind"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct GatewayParametersSpec {
    /// How the gateway stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Which mesh the gateway belongs to, and who it is there. Default: kind `Auto`, used once something needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<GatewayMesh>,
    /// What the gateway tells about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// How much the gateway takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<GatewayLimits>,
}

/// How the gateway stops: readiness fails at once, then `delay`, then connections have until `deadline`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// The listeners stay open for this long, so that load balancers notice. Default: `15s` in a
    /// cluster, `0s` on a laptop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// Then connections have this long to end. Default: `45s` in a cluster, `5s` on a laptop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
}

/// What the gateway tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Telemetry {
    /// One line per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
    /// Spans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// One line per request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessLog {
    /// Form of a line. Default: `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AccessLogFormat")]
    pub format: Option<AccessLogFormat>,
}

/// Form of an access-log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// An object with Istio's field names.
    #[default]
    Json,
    /// Istio's text form.
    Text,
}

/// Spans of the requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Where spans are sent by OTLP over gRPC, as host and port: `otel-collector:4317`. Default: none,
    /// trace context is only passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 259), regex(pattern = "^[^/ ]+:[0-9]{1,5}$"))]
    pub otlp: Option<String>,
    /// Share of new traces that is sampled, in per cent; fractions down to 0.01 count. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<f64>,
}

/// How much the gateway takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayLimits {
    /// Memory to stay under, as a quantity. Default: `auto`, from the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<AutoOr<Quantity>>,
    /// Connections over all listeners. Default: `auto`, from memory and file descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "auto_or_number")]
    pub connections: Option<AutoOr<u32>>,
}

fn auto_or_number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "pattern": "^auto$", "minimum": 1, "maximum": 4_294_967_295_u32})
}
