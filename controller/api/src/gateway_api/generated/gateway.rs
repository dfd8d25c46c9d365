//! Gateway, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};

use super::common::{
    GatewayDefaultScope, Listener, ListenerStatus, LocalObjectReference, ObjectReference,
    SecretObjectReference,
};
use crate::object::Object;

/// Gateway represents an instance of a service-traffic handling infrastructure by binding Listeners
/// to a set of IP addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: GatewaySpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayStatus>,
}

impl Object for Gateway {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Gateway";
    const PLURAL: &'static str = "gateways";
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// AllowedListeners defines which ListenerSets can be attached to this Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedListeners {
    /// Namespaces defines which namespaces ListenerSets can be attached to this Gateway.
    #[serde(default = "default_allowed_listeners_namespaces")]
    pub namespaces: ListenerNamespaces,
}

impl Default for AllowedListeners {
    fn default() -> Self {
        Self { namespaces: default_allowed_listeners_namespaces() }
    }
}

fn default_allowed_listeners_namespaces() -> ListenerNamespaces {
    ListenerNamespaces { from: ListenersFrom::None, ..Default::default() }
}

/// Frontend describes TLS config when client connects to Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTls {
    /// Default specifies the default client certificate validation configuration for all Listeners
    /// handling HTTPS traffic, unless a per-port configuration is defined.
    pub default: FrontendTlsConfig,
    /// PerPort specifies tls configuration assigned per port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_port: Vec<FrontendTlsPort>,
}

/// Default specifies the default client certificate validation configuration for all Listeners
/// handling HTTPS traffic, unless a per-port configuration is defined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsConfig {
    /// Validation holds configuration information for validating the frontend (client).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendTlsValidation>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsPort {
    /// The Port indicates the Port Number to which the TLS configuration will be applied.
    pub port: u16,
    /// TLS store the configuration that will be applied to all Listeners handling HTTPS traffic and
    /// matching given port.
    pub tls: FrontendTlsConfig,
}

/// Validation holds configuration information for validating the frontend (client).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsValidation {
    /// CACertificateRefs contains one or more references to Kubernetes objects that contain a
    /// PEM-encoded TLS CA certificate bundle, which is used as a trust anchor to validate the
    /// certificates presented by the client.
    #[serde(default)]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// FrontendValidationMode defines the mode for validating the client certificate.
    #[serde(default = "default_frontend_tls_validation_mode")]
    pub mode: FrontendValidationMode,
}

impl Default for FrontendTlsValidation {
    fn default() -> Self {
        Self { ca_certificate_refs: Default::default(), mode: default_frontend_tls_validation_mode() }
    }
}

fn default_frontend_tls_validation_mode() -> FrontendValidationMode {
    FrontendValidationMode::AllowValidOnly
}

/// FrontendValidationMode defines the mode for validating the client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FrontendValidationMode {
    /// `AllowValidOnly`.
    AllowValidOnly,
    /// `AllowInsecureFallback`.
    AllowInsecureFallback,
}

impl FrontendValidationMode {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowValidOnly => "AllowValidOnly",
            Self::AllowInsecureFallback => "AllowInsecureFallback",
        }
    }
}

/// Backend describes TLS configuration for gateway when connecting to backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// ClientCertificateRef references an object that contains a client certificate and its
    /// associated private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// Infrastructure defines infrastructure level attributes about this Gateway instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfrastructure {
    /// Annotations that SHOULD be applied to any resources created in response to this Gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that SHOULD be applied to any resources created in response to this Gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// ParametersRef is a reference to a resource that contains the configuration parameters
    /// corresponding to the Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<LocalObjectReference>,
}

/// Spec defines the desired state of Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Addresses requested for this Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewaySpecAddress>,
    /// AllowedListeners defines which ListenerSets can be attached to this Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// DefaultScope, when set, configures the Gateway as a default Gateway, meaning it will
    /// dynamically and implicitly have Routes (e.g. HTTPRoute) attached to it, according to the
    /// scope configured here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scope: Option<GatewayDefaultScope>,
    /// GatewayClassName used for this Gateway.
    pub gateway_class_name: String,
    /// Infrastructure defines infrastructure level attributes about this Gateway instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Listeners associated with this Gateway.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// TLS specifies frontend and backend tls configuration for entire gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
}

/// GatewaySpecAddress describes an address that can be bound to a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpecAddress {
    /// Routability specifies the requested reachability scope of this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routability: Option<String>,
    /// Type of the address.
    #[serde(default = "default_gateway_spec_address_type")]
    pub type_: String,
    /// When a value is unspecified, an implementation SHOULD automatically assign an address
    /// matching the requested type if possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Default for GatewaySpecAddress {
    fn default() -> Self {
        Self { routability: None, type_: default_gateway_spec_address_type(), value: None }
    }
}

fn default_gateway_spec_address_type() -> String {
    "IPAddress".to_owned()
}

/// Status defines the current state of Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Addresses lists the network addresses that have been bound to the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayStatusAddress>,
    /// AttachedListenerSets represents the total number of ListenerSets that have been successfully
    /// attached to this Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
    /// Conditions describe the current conditions of the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Listeners provide status for each unique listener port defined in the Spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

/// GatewayStatusAddress describes a network address that is bound to a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatusAddress {
    /// Routability reports the reachability scope of this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routability: Option<String>,
    /// Type of the address.
    #[serde(default = "default_gateway_status_address_type")]
    pub type_: String,
    /// Value of the address.
    pub value: String,
}

impl Default for GatewayStatusAddress {
    fn default() -> Self {
        Self { routability: None, type_: default_gateway_status_address_type(), value: Default::default() }
    }
}

fn default_gateway_status_address_type() -> String {
    "IPAddress".to_owned()
}

/// TLS specifies frontend and backend tls configuration for entire gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTls {
    /// Backend describes TLS configuration for gateway when connecting to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTls>,
    /// Frontend describes TLS config when client connects to Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTls>,
}

/// Namespaces defines which namespaces ListenerSets can be attached to this Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerNamespaces {
    /// From indicates where ListenerSets can attach to this Gateway.
    #[serde(default = "default_listener_namespaces_from")]
    pub from: ListenersFrom,
    /// Selector must be specified when From is set to "Selector".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl Default for ListenerNamespaces {
    fn default() -> Self {
        Self { from: default_listener_namespaces_from(), selector: None }
    }
}

fn default_listener_namespaces_from() -> ListenersFrom {
    ListenersFrom::None
}

/// From indicates where ListenerSets can attach to this Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenersFrom {
    /// `All`.
    All,
    /// `Selector`.
    Selector,
    /// `Same`.
    Same,
    /// `None`.
    None,
}

impl ListenersFrom {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Selector => "Selector",
            Self::Same => "Same",
            Self::None => "None",
        }
    }
}
