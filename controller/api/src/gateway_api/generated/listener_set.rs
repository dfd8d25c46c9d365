//! ListenerSet, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::{Deserialize, Serialize};

use super::common::{Listener, ListenerStatus};
use crate::object::Object;

/// ListenerSet defines a set of additional listeners to attach to an existing Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSet {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: ListenerSetSpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ListenerSetStatus>,
}

impl Object for ListenerSet {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "ListenerSet";
    const PLURAL: &'static str = "listenersets";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Spec defines the desired state of ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// Listeners associated with this ListenerSet.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// ParentRef references the Gateway that the listeners are attached to.
    pub parent_ref: ParentGatewayReference,
}

/// Status defines the current state of ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetStatus {
    /// Conditions describe the current conditions of the ListenerSet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Listeners provide status for each unique listener port defined in the Spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

/// ParentRef references the Gateway that the listeners are attached to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentGatewayReference {
    /// Group is the group of the referent.
    #[serde(default = "default_parent_gateway_reference_group")]
    pub group: String,
    /// Kind is kind of the referent.
    #[serde(default = "default_parent_gateway_reference_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Default for ParentGatewayReference {
    fn default() -> Self {
        Self {
            group: default_parent_gateway_reference_group(),
            kind: default_parent_gateway_reference_kind(),
            name: Default::default(),
            namespace: None,
        }
    }
}

fn default_parent_gateway_reference_group() -> String {
    "gateway.networking.k8s.io".to_owned()
}

fn default_parent_gateway_reference_kind() -> String {
    "Gateway".to_owned()
}
