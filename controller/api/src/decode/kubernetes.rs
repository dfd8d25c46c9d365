//! What the API server's own code checks of Kubernetes' own kinds, and the defaults it fills in, as far as a gateway relies on them.
//!
//! Two things that an API server refuses are taken, since a folder may describe what runs on a laptop: EndpointSlices with loopback
//! addresses, and objects that refer to objects that are not there.

mod config;
mod endpoint_slice;
mod service;

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::structure::Report;

/// Fills in defaults and reports what is wrong. `object` has the kind's structure already.
pub(super) fn check(report: &mut Report, kind: &Kind, object: &mut Map<String, Value>) {
    match kind.name {
        "ConfigMap" => config::config_map(report, object),
        "Secret" => config::secret(report, object),
        "ClusterTrustBundle" => config::trust_bundle(report, object),
        "Service" => service::check(report, object),
        "EndpointSlice" => endpoint_slice::check(report, object),
        "Pod" => service::pod(report, object),
        _ => {}
    }
}

/// The list at `name`, or an empty one.
fn list<'o>(object: &'o Map<String, Value>, name: &str) -> &'o [Value] {
    object.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'o>(object: &'o Map<String, Value>, name: &str) -> Option<&'o str> {
    object.get(name).and_then(Value::as_str)
}

/// Sets `name` if it is absent.
fn default(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if !object.contains_key(name) {
        object.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests;
