//! What a policy attaches to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An object in the policy's own namespace that the policy is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group of the object; empty for Service. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Kind of the object.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// A part of the object: the name of a listener of a Gateway or ListenerSet, of a rule of a route, or
    /// of a port of a Service. Default: the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// All objects of a kind in the policy's own namespace that carry these labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSelector {
    /// API group of the objects. Default: `gateway.networking.k8s.io`.
    #[serde(default = "gateway_api_group")]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Kind of the objects.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Labels that an object must carry, every one. Default: none, so every object of the kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

impl TargetSelector {
    /// Whether an object with these labels is meant; group and kind are not looked at.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.match_labels
            .iter()
            .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
    }
}

fn gateway_api_group() -> String {
    crate::gateway_api::GROUP.to_owned()
}
