//! ReferenceGrant, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::object::Object;

/// ReferenceGrant identifies kinds of resources in other namespaces that are trusted to reference
/// the specified kinds of resources in the same namespace as the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceGrant {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: ReferenceGrantSpec,
}

impl Object for ReferenceGrant {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "ReferenceGrant";
    const PLURAL: &'static str = "referencegrants";
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// ReferenceGrantFrom describes trusted namespaces and kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is the kind of the referent.
    pub kind: String,
    /// Namespace is the namespace of the referent.
    pub namespace: String,
}

/// Spec defines the desired state of ReferenceGrant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// From describes the trusted namespaces and kinds that can reference the resources described in
    /// "To".
    #[serde(default)]
    pub from: Vec<ReferenceGrantFrom>,
    /// To describes the resources that may be referenced by the resources described in "From".
    #[serde(default)]
    pub to: Vec<ReferenceGrantTo>,
}

/// ReferenceGrantTo describes what Kinds are allowed as targets of the references.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is the kind of the referent.
    pub kind: String,
    /// Name is the name of the referent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
