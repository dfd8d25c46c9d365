//! GRPCRoute, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{
    GatewayDefaultScope, HeaderMatch, HeaderModifier, LocalObjectReference, MatchType, ParentReference,
    RequestMirrorFilter, RouteStatus, SessionPersistence,
};
use crate::object::Object;

/// GRPCRoute provides a way to route gRPC requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpcRoute {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: GrpcRouteSpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

impl Object for GrpcRoute {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "GRPCRoute";
    const PLURAL: &'static str = "grpcroutes";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// GRPCBackendRef defines how a GRPCRoute forwards a gRPC request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcBackendRef {
    /// Filters defined at this level MUST be executed if and only if the request is being forwarded
    /// to the backend defined here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GrpcFilter>,
    /// Group is the group of the referent.
    #[serde(default = "default_grpc_backend_ref_group")]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent.
    #[serde(default = "default_grpc_backend_ref_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port specifies the destination port number to use for this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Weight specifies the proportion of requests forwarded to the referenced backend.
    #[serde(default = "default_grpc_backend_ref_weight")]
    pub weight: u32,
}

impl Default for GrpcBackendRef {
    fn default() -> Self {
        Self {
            filters: Default::default(),
            group: default_grpc_backend_ref_group(),
            kind: default_grpc_backend_ref_kind(),
            name: Default::default(),
            namespace: None,
            port: None,
            weight: default_grpc_backend_ref_weight(),
        }
    }
}

fn default_grpc_backend_ref_group() -> String {
    String::new()
}

fn default_grpc_backend_ref_kind() -> String {
    "Service".to_owned()
}

fn default_grpc_backend_ref_weight() -> u32 {
    1
}

/// GRPCRouteFilter defines processing steps that must be completed during the request or response
/// lifecycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcFilter {
    /// ExtensionRef is an optional, implementation-specific extension to the "filter" behavior.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// RequestHeaderModifier defines a schema for a filter that modifies request headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    /// RequestMirror defines a schema for a filter that mirrors requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<RequestMirrorFilter>,
    /// ResponseHeaderModifier defines a schema for a filter that modifies response headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderModifier>,
    /// Type identifies the type of filter to apply.
    pub type_: GrpcFilterType,
}

/// Type identifies the type of filter to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GrpcFilterType {
    /// `ResponseHeaderModifier`.
    ResponseHeaderModifier,
    /// `RequestHeaderModifier`.
    RequestHeaderModifier,
    /// `RequestMirror`.
    RequestMirror,
    /// `ExtensionRef`.
    ExtensionRef,
}

impl GrpcFilterType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResponseHeaderModifier => "ResponseHeaderModifier",
            Self::RequestHeaderModifier => "RequestHeaderModifier",
            Self::RequestMirror => "RequestMirror",
            Self::ExtensionRef => "ExtensionRef",
        }
    }
}

/// Method specifies a gRPC request service/method matcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMethodMatch {
    /// Value of the method to match against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Value of the service to match against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Type specifies how to match against the service and/or method.
    #[serde(default = "default_grpc_method_match_type")]
    pub type_: MatchType,
}

impl Default for GrpcMethodMatch {
    fn default() -> Self {
        Self { method: None, service: None, type_: default_grpc_method_match_type() }
    }
}

fn default_grpc_method_match_type() -> MatchType {
    MatchType::Exact
}

/// GRPCRouteMatch defines the predicate used to match requests to a given action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteMatch {
    /// Headers specifies gRPC request header matchers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Method specifies a gRPC request service/method matcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethodMatch>,
}

/// GRPCRouteRule defines the semantics for matching a gRPC request based on conditions (matches),
/// processing it (filters), and forwarding the request to an API object (backendRefs).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<GrpcBackendRef>,
    /// Filters define the filters that are applied to requests that match this rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GrpcFilter>,
    /// Matches define conditions used for matching the rule against incoming gRPC requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GrpcRouteMatch>,
    /// Name is the name of the route rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Deprecated: use the Backend resource for session persistence (GEP-4894).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Spec defines the desired state of GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// Hostnames defines a set of hostnames to match against the GRPC Host header to select a
    /// GRPCRoute to process the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of GRPC matchers, filters and actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GrpcRouteRule>,
    /// UseDefaultGateways indicates the default Gateway scope to use for this Route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}
