//! BackendTLSPolicy, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{BackendTlsValidation, PolicyStatus};
use crate::object::Object;

/// BackendTLSPolicy provides a way to configure how a Gateway connects to a Backend via TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendTlsPolicy {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: BackendTlsPolicySpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

impl Object for BackendTlsPolicy {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "BackendTLSPolicy";
    const PLURAL: &'static str = "backendtlspolicies";
    const VERSIONS: &'static [&'static str] = &["v1", "v1alpha3"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Spec defines the desired state of BackendTLSPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// Options are a list of key/value pairs to enable extended TLS configuration for each
    /// implementation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// TargetRefs identifies an API object to apply the policy to.
    #[serde(default)]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Validation contains backend TLS validation configuration.
    pub validation: BackendTlsValidation,
}

/// LocalPolicyTargetReferenceWithSectionName identifies an API object to apply a direct policy to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetReference {
    /// Group is the group of the target resource.
    pub group: String,
    /// Kind is kind of the target resource.
    pub kind: String,
    /// Name is the name of the target resource.
    pub name: String,
    /// SectionName is the name of a section within the target resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}
