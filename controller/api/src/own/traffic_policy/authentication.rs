//! `authentication` of a TrafficPolicy.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::own::Quantity;

/// Who may pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// Asks a server about every request, by Envoy's `ext_authz` protocols. Merged as a whole.
    /// Default: nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalAuth>,
}

/// A server that is asked about every request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.http) || self.protocol == 'HTTP'").message("http is for protocol HTTP only; remove it or set protocol: HTTP"),
    validation = Rule::new("!has(self.grpc) || !has(self.protocol) || self.protocol == 'GRPC'").message("grpc is for protocol GRPC only; remove it or set protocol: GRPC")
)]
pub struct ExternalAuth {
    /// The server. If it cannot be resolved, requests are denied whatever `failOpen` says.
    pub backend_ref: ExternalAuthBackendRef,
    /// How it is asked. Default: `GRPC`.
    #[serde(default)]
    pub protocol: ExternalAuthProtocol,
    /// What is sent if `protocol` is `GRPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<ExternalAuthGrpc>,
    /// What is sent if `protocol` is `HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<ExternalAuthHttp>,
    /// Sends the request's body along. Default: no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ExternalAuthBody>,
    /// How long the server may think. Default: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Lets requests pass if the server does not answer; otherwise they are denied with 403.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_open: Option<bool>,
}

/// A Service or XBackend; one in another namespace needs a ReferenceGrant there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind != 'Service' || self.group != '' || has(self.port)").message("port is needed for a Service"),
    validation = Rule::new("self.kind != 'XBackend' || !has(self.port)").message("an XBackend has its own port; remove port")
)]
pub struct ExternalAuthBackendRef {
    /// API group. Default: empty, the group of Service.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Kind. Default: `Service`.
    #[serde(default = "service")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace. Default: the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// How the server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalAuthProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    #[default]
    #[serde(rename = "GRPC")]
    Grpc,
    /// A request with the same method and path; 200 lets pass.
    #[serde(rename = "HTTP")]
    Http,
}

/// What is sent by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthGrpc {
    /// Request headers that are sent along. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub allowed_headers: Vec<String>,
}

/// What is sent by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthHttp {
    /// Put before the request's path. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// Request headers that are sent along besides Host, Method, Path, Content-Length and Authorization.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub allowed_headers: Vec<String>,
    /// Headers of a 200 that are copied into the request. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub allowed_response_headers: Vec<String>,
}

/// How much of a request's body is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthBody {
    /// The longest body; a longer request is answered 413.
    pub max_size: Quantity,
}

fn service() -> String {
    "Service".to_owned()
}
