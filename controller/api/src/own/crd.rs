//! CRDs of our own kinds, as an API server and our decoder take them.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{
    BackendPolicy, FederatedTrustDomain, GatewayParameters, ListenerPolicy, TrafficPolicy,
    WorkloadRegistration,
};

/// The CRD of each of our own kinds.
pub fn crds() -> Vec<Value> {
    [
        ListenerPolicy::crd(),
        TrafficPolicy::crd(),
        BackendPolicy::crd(),
        GatewayParameters::crd(),
        WorkloadRegistration::crd(),
        FederatedTrustDomain::crd(),
    ]
    .into_iter()
    .map(|crd| {
        let mut value = serde_json::to_value(crd).expect("a CRD is plain data");
        // An object without a spec is as valid as one with an empty spec.
        if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
            if let Some(fields) = schema.as_object_mut() {
                fields.remove("required");
            }
            if let Some(spec) = schema.pointer_mut("/properties/spec").and_then(Value::as_object_mut) {
                spec.insert("default".to_owned(), json!({}));
            }
            conform(schema);
        }
        value
    })
    .collect()
}

/// Makes a schema say what Kubernetes knows: no formats but its own, whole numbers for bounds, no
/// `null` for a field left out, no titles.
fn conform(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let known = match fields.get("format").and_then(Value::as_str) {
                Some("uint8" | "uint16") => Some(("int32", i64::from(u16::MAX))),
                Some("uint32") => Some(("int64", i64::from(u32::MAX))),
                _ => None,
            };
            if let Some((format, maximum)) = known {
                fields.insert("format".to_owned(), format.into());
                fields.entry("maximum").or_insert_with(|| maximum.into());
            }
            for bound in ["minimum", "maximum"] {
                if let Some(number) = fields.get(bound).and_then(Value::as_f64) {
                    fields.insert(bound.to_owned(), whole(number));
                }
            }
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            if fields.get("title").is_some_and(Value::is_string) {
                fields.remove("title");
            }
            fields.values_mut().for_each(conform);
        }
        Value::Array(values) => values.iter_mut().for_each(conform),
        _ => {}
    }
}

/// A bound as it is written in a CRD: `16`, not `16.0`.
fn whole(number: f64) -> Value {
    // kube's schema type keeps bounds as floats; every bound that we write is a small whole number.
    format!("{number:.0}").parse::<i64>().map_or_else(|_| number.into(), Value::from)
}
