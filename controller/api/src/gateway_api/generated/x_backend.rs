//! XBackend, gateway.networking.x-k8s.io/v1alpha1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{BackendTlsValidation, PolicyStatus, SecretObjectReference, SessionPersistence};
use crate::object::Object;

/// XBackend is a Gateway API resource that represents a backend destination for routing traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct XBackend {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: XBackendSpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

impl Object for XBackend {
    const GROUP: &'static str = "gateway.networking.x-k8s.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "XBackend";
    const PLURAL: &'static str = "xbackends";
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// EndpointSelector specifies the configuration for an EndpointSelector backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendEndpointSelector {
    /// MatchLabels contains a set of required {key,value} pairs.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
}

/// ExternalHostname specifies the configuration for an ExternalHostname backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendExternalHostname {
    /// Hostname specifies the FQDN used to reach this backend.
    pub hostname: String,
}

/// Port defines the port to connect to on this backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendPort {
    /// Number represents the port number of the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
}

/// Protocol defines the protocol for backend communication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum XBackendProtocol {
    /// `TCP`.
    #[serde(rename = "TCP")]
    Tcp,
    /// `HTTP`.
    #[serde(rename = "HTTP")]
    Http,
    /// `HTTP2`.
    #[serde(rename = "HTTP2")]
    Http2,
    /// `HTTP11`.
    #[serde(rename = "HTTP11")]
    Http11,
    /// `H2C`.
    #[serde(rename = "H2C")]
    H2c,
    /// `MCP`.
    #[serde(rename = "MCP")]
    Mcp,
    /// `GRPC`.
    #[serde(rename = "GRPC")]
    Grpc,
    /// `WSS`.
    #[serde(rename = "WSS")]
    Wss,
}

impl XBackendProtocol {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Http11 => "HTTP11",
            Self::H2c => "H2C",
            Self::Mcp => "MCP",
            Self::Grpc => "GRPC",
            Self::Wss => "WSS",
        }
    }
}

/// Spec defines the desired state of XBackend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendSpec {
    /// EndpointSelector specifies the configuration for an EndpointSelector backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_selector: Option<XBackendEndpointSelector>,
    /// ExternalHostname specifies the configuration for an ExternalHostname backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_hostname: Option<XBackendExternalHostname>,
    /// Port defines the port to connect to on this backend.
    pub port: XBackendPort,
    /// Protocol defines the protocol for backend communication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<XBackendProtocol>,
    /// SessionPersistence defines and configures session persistence across the endpoints selected
    /// by this backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// TLS defines the TLS configuration that the implementation should use when connecting to the
    /// backend.
    #[serde(default = "default_x_backend_spec_tls")]
    pub tls: XBackendTls,
    /// Type defines the backend type.
    pub type_: XBackendType,
}

fn default_x_backend_spec_tls() -> XBackendTls {
    XBackendTls { client_certificate_ref: None, mode: XBackendTlsMode::None, validation: None }
}

/// TLS defines the TLS configuration that the implementation should use when connecting to the
/// backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendTls {
    /// ClientCertificateRef is a reference to a Secret containing the client TLS certificate and
    /// private key for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
    /// Mode defines the TLS mode for the backend connection.
    pub mode: XBackendTlsMode,
    /// Validation contains TLS validation configuration for the backend connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<BackendTlsValidation>,
}

/// Mode defines the TLS mode for the backend connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum XBackendTlsMode {
    /// `None`.
    None,
    /// `ServerOnly`.
    ServerOnly,
    /// `ClientAndServer`.
    ClientAndServer,
}

impl XBackendTlsMode {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::ServerOnly => "ServerOnly",
            Self::ClientAndServer => "ClientAndServer",
        }
    }
}

/// Type defines the backend type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum XBackendType {
    /// `ExternalHostname`.
    ExternalHostname,
    /// `EndpointSelector`.
    EndpointSelector,
}

impl XBackendType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExternalHostname => "ExternalHostname",
            Self::EndpointSelector => "EndpointSelector",
        }
    }
}
