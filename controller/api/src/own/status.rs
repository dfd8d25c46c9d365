//! The status of our own kinds, and its schema for their CRDs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::gateway_api::{Condition, PolicyStatus};

/// The status of a kind that says something of itself only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConditionsStatus {
    /// What became of the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl JsonSchema for ConditionsStatus {
    fn schema_name() -> Cow<'static, str> {
        "ConditionsStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What became of the object.",
            "type": "object",
            "properties": {"conditions": conditions()},
        })
    }
}

impl JsonSchema for PolicyStatus {
    fn schema_name() -> Cow<'static, str> {
        "PolicyStatus".into()
    }

    /// As Gateway API has it (GEP-713), with its `listType=atomic` and its bound of 16 ancestors.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What became of the policy, for each object that it attaches to.",
            "type": "object",
            "required": ["ancestors"],
            "properties": {"ancestors": {
                "description": "One entry for each target and controller.",
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["ancestorRef", "conditions", "controllerName"],
                    "properties": {
                        "ancestorRef": ancestor_ref(),
                        "controllerName": {
                            "description": "Who wrote the entry.",
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 253,
                        },
                        "conditions": conditions(),
                    },
                },
            }},
        })
    }
}

fn ancestor_ref() -> Schema {
    json_schema!({
        "description": "The object that the policy attaches to.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "group": {"type": "string", "maxLength": 253, "default": "gateway.networking.k8s.io"},
            "kind": {"type": "string", "minLength": 1, "maxLength": 63, "default": "Gateway"},
            "namespace": {"type": "string", "minLength": 1, "maxLength": 63},
            "name": {"type": "string", "minLength": 1, "maxLength": 253},
            "sectionName": {"type": "string", "minLength": 1, "maxLength": 253},
            "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
        },
    })
}

fn conditions() -> Schema {
    json_schema!({
        "description": "Accepted, and whatever else there is to say.",
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "message": {"type": "string", "maxLength": 32768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {"type": "string", "maxLength": 316},
            },
        },
    })
}
