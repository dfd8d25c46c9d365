//! `metadata`: the same for every kind, and not in any CRD's schema.

use serde_json::{Map, Value};

use super::format::{is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name};
use super::kinds::{self, Kind};
use super::node::{Node, NodeValue, Position};
use super::problem::Reason;
use super::schema;
use super::structure::{Report, quoted};

/// Bytes that all annotations of an object may have together.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// The namespace of a namespaced object that names none, as for `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

/// Checks `metadata` and returns it; absent if it is missing or not even a mapping of the right types.
pub(super) fn structure(
    report: &mut Report,
    node: Option<(&Node<'_>, Position)>,
    object: Position,
) -> Option<Map<String, Value>> {
    let before = report.path.len();
    report.path.push_key("metadata");
    let checked = match node {
        Some((node, at)) if !matches!(node.value, NodeValue::Null) => {
            report.check(kinds::object_meta(), node, at)
        }
        _ => {
            report.path.push_key("name");
            report.add(object, Reason::MissingField, "is required", "Give the object a name");
            None
        }
    };
    report.path.truncate(before);
    match checked {
        Some(Value::Object(mut fields)) => {
            // Who set which field: bulky, and nothing to a gateway.
            fields.remove("managedFields");
            Some(fields)
        }
        _ => None,
    }
}

/// Checks names, labels and annotations, and gives a namespaced object its namespace. Lines must be known.
pub(super) fn values(report: &mut Report, kind: &Kind, namespaced: bool, fields: &mut Map<String, Value>) {
    name(report, kind, fields);
    match (namespaced, fields.get("namespace").and_then(Value::as_str)) {
        (false, Some(namespace)) if !namespace.is_empty() => {
            let message = format!("{} objects are not in a namespace", kind.name);
            report.add_at("metadata.namespace", Reason::Metadata, message, "Remove it");
        }
        (false, _) => {}
        (true, None | Some("")) => {
            fields.insert("namespace".to_owned(), DEFAULT_NAMESPACE.into());
        }
        (true, Some(namespace)) => {
            if !is_dns_label(namespace) {
                let message = format!("{} is not a namespace name", quoted(namespace));
                report.add_at("metadata.namespace", Reason::Metadata, message, LABEL_MEND);
            }
        }
    }
    labels(report, fields);
    annotations(report, fields);
}

fn name(report: &mut Report, kind: &Kind, fields: &Map<String, Value>) {
    let Some(name) = fields.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        let mend = if fields.contains_key("generateName") {
            "generateName needs an API server: write a name"
        } else {
            "Give the object a name"
        };
        report.add_at("metadata.name", Reason::MissingField, "is required", mend);
        return;
    };
    let (good, mend) = match kind.name {
        "Namespace" | "Service" if kind.is_core() => (is_dns_label(name), LABEL_MEND),
        // A bundle of a signer is named SIGNER:NAME, the signer's slash written as a colon.
        "ClusterTrustBundle" => (name.split(':').all(is_dns_subdomain), SUBDOMAIN_MEND),
        _ => (is_dns_subdomain(name), SUBDOMAIN_MEND),
    };
    if !good {
        report.add_at(
            "metadata.name",
            Reason::Metadata,
            format!("{} is not a name for this kind", quoted(name)),
            mend,
        );
    }
}

fn labels(report: &mut Report, fields: &Map<String, Value>) {
    for (key, value) in schema::object(fields.get("labels")) {
        if !is_qualified_name(key) {
            report.add_at(
                &entry("labels", key),
                Reason::Metadata,
                format!("{} is not a label key", quoted(key)),
                KEY_MEND,
            );
        }
        let value = value.as_str().unwrap_or_default();
        if !is_label_value(value) {
            let mend = "At most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends";
            report.add_at(
                &entry("labels", key),
                Reason::Metadata,
                format!("{} is not a label value", quoted(value)),
                mend,
            );
        }
    }
}

fn annotations(report: &mut Report, fields: &Map<String, Value>) {
    let annotations = schema::object(fields.get("annotations"));
    for key in annotations.keys() {
        // Upper case is allowed in the prefix too, unlike in labels.
        if !is_qualified_name(&key.to_ascii_lowercase()) {
            report.add_at(
                &entry("annotations", key),
                Reason::Metadata,
                format!("{} is not an annotation key", quoted(key)),
                KEY_MEND,
            );
        }
    }
    let size: usize =
        annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        let message = format!("annotations have {size} bytes: at most {MAX_ANNOTATIONS}");
        report.add_at("metadata.annotations", Reason::TooLarge, message, "");
    }
}

fn entry(field: &str, key: &str) -> String {
    let mut path = super::lines::Path::default();
    path.push_key("metadata");
    path.push_key(field);
    path.push_key(key);
    path.as_str().to_owned()
}

const LABEL_MEND: &str = "At most 63 lower-case letters, digits and '-', a letter or digit at both ends";
const SUBDOMAIN_MEND: &str =
    "Lower-case letters, digits, '-' and '.', a letter or digit at both ends of each part";
const KEY_MEND: &str =
    "NAME or PREFIX/NAME: a DNS subdomain as prefix; letters, digits, '-', '_' and '.' in the name";
