//! TLSRoute, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{GatewayDefaultScope, L4RouteRule, ParentReference, RouteStatus};
use crate::object::Object;

/// The TLSRoute resource is similar to TCPRoute, but can be configured to match against TLS-specific
/// metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsRoute {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: TlsRouteSpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

impl Object for TlsRoute {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "TLSRoute";
    const PLURAL: &'static str = "tlsroutes";
    const VERSIONS: &'static [&'static str] = &["v1", "v1alpha2", "v1alpha3"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Spec defines the desired state of TLSRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// Hostnames defines a set of SNI hostnames that should match against the SNI attribute of TLS
    /// ClientHello message in TLS handshake.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of actions.
    #[serde(default)]
    pub rules: Vec<L4RouteRule>,
    /// UseDefaultGateways indicates the default Gateway scope to use for this Route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}
