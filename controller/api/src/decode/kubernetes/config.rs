//! ConfigMap, Secret and ClusterTrustBundle: maps of files, and a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{default, text};
use crate::decode::format::is_config_key;
use crate::decode::lines::Path;
use crate::decode::problem::Reason;
use crate::decode::schema;
use crate::decode::structure::{Report, quoted};

/// Most bytes that the values of one object may have together.
const MAX_DATA: usize = 1 << 20;

/// Keys that a Secret of a type must have.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
];

pub(super) fn config_map(report: &mut Report, object: &mut Map<String, Value>) {
    keys(report, "data", object);
    keys(report, "binaryData", object);
    let data = schema::object(object.get("data"));
    for key in schema::object(object.get("binaryData")).keys().filter(|key| data.contains_key(*key)) {
        let message = format!("{key:?} is in data too");
        report.add_at(&entry("binaryData", key), Reason::Duplicate, message, "Remove one of the two");
    }
    size(report, object, &["data", "binaryData"]);
}

pub(super) fn secret(report: &mut Report, object: &mut Map<String, Value>) {
    keys(report, "data", object);
    keys(report, "stringData", object);
    // Written by people, never stored: an API server moves it to data, over what is there.
    if let Some(Value::Object(texts)) = object.remove("stringData") {
        let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if let Some(data) = data.as_object_mut() {
            for (key, value) in texts {
                data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
            }
        }
    }
    default(object, "type", "Opaque");
    let kind = text(object, "type").unwrap_or_default();
    let data = schema::object(object.get("data"));
    for (_, required) in REQUIRED.iter().filter(|(name, _)| *name == kind) {
        for key in required.iter().filter(|key| !data.contains_key(**key)) {
            report.add_at(
                &entry("data", key),
                Reason::MissingField,
                format!("is required in a Secret of type {kind}"),
                "",
            );
        }
    }
    if kind == "kubernetes.io/basic-auth" && !data.contains_key("username") && !data.contains_key("password")
    {
        report.add_at(
            "data",
            Reason::MissingField,
            "username or password is required in a Secret of type kubernetes.io/basic-auth",
            "",
        );
    }
    size(report, object, &["data"]);
}

pub(super) fn trust_bundle(report: &mut Report, object: &mut Map<String, Value>) {
    let spec = schema::object(object.get("spec"));
    let bundle = text(spec, "trustBundle").unwrap_or_default();
    if !bundle.contains("-----BEGIN CERTIFICATE-----") {
        report.add_at(
            "spec.trustBundle",
            Reason::Rule,
            "has no PEM certificate",
            "Put the roots' CERTIFICATE blocks here",
        );
    }
    let signer = text(spec, "signerName").unwrap_or_default();
    if !signer.is_empty() && !signer.contains('/') {
        let message = format!("{} is not a signer's name", quoted(signer));
        report.add_at("spec.signerName", Reason::Pattern, message, "DOMAIN/PATH");
        return;
    }
    let name = text(schema::object(object.get("metadata")), "name").unwrap_or_default();
    let prefix = if signer.is_empty() { String::new() } else { format!("{}:", signer.replace('/', ":")) };
    if name.strip_prefix(&*prefix).is_none_or(|rest| rest.contains(':')) {
        let mend = if signer.is_empty() {
            "Without signerName, a name has no colon".to_owned()
        } else {
            format!("The name of a bundle of this signer begins with {prefix}")
        };
        let message = format!("{} is not a name for this bundle", quoted(name));
        report.add_at("metadata.name", Reason::Metadata, message, mend);
    }
}

fn keys(report: &mut Report, field: &str, object: &Map<String, Value>) {
    for key in schema::object(object.get(field)).keys().filter(|key| !is_config_key(key)) {
        let mend = "Letters, digits, '-', '_' and '.'";
        report.add_at(&entry(field, key), Reason::Metadata, format!("{} is not a key", quoted(key)), mend);
    }
}

fn size(report: &mut Report, object: &Map<String, Value>, fields: &[&str]) {
    let values = fields.iter().flat_map(|field| schema::object(object.get(*field)).values());
    let size: usize = values.map(|value| value.as_str().map_or(0, str::len)).sum();
    // Base64 is counted as written here, a third more than its bytes.
    if size > MAX_DATA / 3 * 4 {
        report.add_at("data", Reason::TooLarge, format!("has {size} bytes: at most {MAX_DATA}"), "");
    }
}

fn entry(field: &str, key: &str) -> String {
    let mut path = Path::default();
    path.push_key(field);
    path.push_key(key);
    path.as_str().to_owned()
}
