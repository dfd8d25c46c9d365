//! Generates `schemas/` from the CRDs and from Kubernetes' own types, and fails when the committed files differ.
//!
//! `UPDATE_SCHEMAS=1 cargo test -p api --test schemas` rewrites them. The files hold what validation needs and nothing
//! else (no descriptions, no status of kinds whose status the controller writes), because they are compiled into the binary and read
//! at start.

#![expect(
    clippy::indexing_slicing,
    reason = "an absent field of a JSON value is null, which the tests below refuse"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::{certificates, core::v1 as core, discovery::v1 as discovery};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// Kinds of the Gateway API CRDs that are not read: the mesh-only ones.
const NOT_READ: [&str; 2] = ["XMesh", "XTelemetryPolicy"];

/// One file of `schemas/`: its path under the folder, and its content.
struct SchemaFile {
    path: String,
    content: Value,
}

#[test]
fn schemas_are_those_of_the_crds() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["crds/gateway-api", "crds/istio", "../../charts/diolkos-crds/crds"] {
        for path in yaml_files(&crate_dir.join(folder)) {
            let text = std::fs::read_to_string(&path).expect("a CRD file is readable");
            for crd in serde_saphyr::from_multiple::<Value>(&text).expect("a CRD file is YAML") {
                files.extend(from_crd(&crd));
            }
        }
    }
    files.extend(core_kinds());
    assert!(files.len() > 20, "only {} schemas found", files.len());

    let folder = crate_dir.join("schemas");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    let mut expected = BTreeSet::new();
    for file in &files {
        let path = folder.join(&file.path);
        let text =
            format!("{}\n", serde_json::to_string(&file.content).expect("a JSON value can be written"));
        if update {
            std::fs::create_dir_all(path.parent().expect("a schema file is in a folder"))
                .expect("folder is writable");
            std::fs::write(&path, &text).expect("schema file is writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} is not what the CRDs say: run UPDATE_SCHEMAS=1 cargo test -p api --test schemas",
            file.path
        );
        expected.insert(path);
    }
    for group in std::fs::read_dir(&folder).expect("schemas/ is readable") {
        for entry in std::fs::read_dir(group.expect("entry").path()).expect("schemas/GROUP is readable") {
            let path = entry.expect("entry").path();
            assert!(expected.contains(&path), "{} has no CRD any more: remove it", path.display());
        }
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

fn from_crd(crd: &Value) -> Option<SchemaFile> {
    if crd["kind"] != "CustomResourceDefinition" {
        return None;
    }
    let spec = &crd["spec"];
    let kind = spec["names"]["kind"].as_str()?;
    let group = spec["group"].as_str()?;
    if NOT_READ.contains(&kind) {
        return None;
    }
    assert!(
        spec["conversion"].is_null() || spec["conversion"]["strategy"] == "None",
        "{kind} converts by webhook"
    );
    let mut schemas: Vec<Value> = Vec::new();
    let mut versions = Vec::new();
    for version in spec["versions"].as_array()? {
        let mut schema = trimmed(&version["schema"]["openAPIV3Schema"]);
        let properties = schema["properties"].as_object_mut().expect("a CRD's schema has properties");
        // These three are the same for every kind, and status is not taken from the user.
        for name in ["apiVersion", "kind", "metadata", "status"] {
            properties.remove(name);
        }
        let index = schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
            schemas.push(schema);
            schemas.len() - 1
        });
        versions.push(json!({
            "name": version["name"], "served": version["served"], "storage": version["storage"], "schema": index,
        }));
    }
    let content = json!({
        "group": group, "kind": kind, "namespaced": spec["scope"] == "Namespaced", "versions": versions, "schemas": schemas,
    });
    Some(SchemaFile { path: format!("{group}/{kind}.json"), content })
}

/// Without what validation does not use.
fn trimmed(schema: &Value) -> Value {
    const DROPPED: [&str; 5] = ["description", "example", "externalDocs", "title", "$schema"];
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (name, value) in fields {
        if DROPPED.contains(&name.as_str()) {
            continue;
        }
        let value = match name.as_str() {
            "properties" | "$defs" => {
                let named = value.as_object().expect("a map of schemas");
                Value::Object(named.iter().map(|(name, schema)| (name.clone(), trimmed(schema))).collect())
            }
            "oneOf" | "anyOf" | "allOf" => {
                value.as_array().expect("a list of schemas").iter().map(trimmed).collect()
            }
            "items" | "not" | "additionalProperties" => trimmed(value),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn core_kinds() -> Vec<SchemaFile> {
    let mut slice = core_kind::<discovery::EndpointSlice>("discovery.k8s.io", "EndpointSlice", true, &["v1"]);
    // The API server takes a slice without endpoints; only the OpenAPI document calls them required.
    if let Some(Value::Array(required)) = slice.content.pointer_mut("/schemas/0/required") {
        required.retain(|name| name != "endpoints");
    }
    let metadata = SchemaFile {
        path: "core/ObjectMeta.json".to_owned(),
        content: core_schema::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>(),
    };
    vec![
        metadata,
        core_kind::<core::ConfigMap>("core", "ConfigMap", true, &["v1"]),
        core_kind::<core::Namespace>("core", "Namespace", false, &["v1"]),
        core_kind::<core::Pod>("core", "Pod", true, &["v1"]),
        core_kind::<core::Secret>("core", "Secret", true, &["v1"]),
        core_kind::<core::Service>("core", "Service", true, &["v1"]),
        core_kind::<core::ServiceAccount>("core", "ServiceAccount", true, &["v1"]),
        slice,
        core_kind::<certificates::v1beta1::ClusterTrustBundle>(
            "certificates.k8s.io",
            "ClusterTrustBundle",
            false,
            &["v1beta1", "v1alpha1"],
        ),
    ]
}

fn core_kind<T: JsonSchema>(group: &str, kind: &str, namespaced: bool, versions: &[&str]) -> SchemaFile {
    let mut schema = core_schema::<T>();
    let properties = schema["properties"].as_object_mut().expect("a kind's schema has properties");
    for name in ["apiVersion", "kind", "metadata"] {
        properties.remove(name);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name != "metadata");
    }
    let mut used = BTreeSet::new();
    collect_definitions(&schema, &schema["$defs"], &mut used);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        definitions.retain(|name, _| used.contains(name));
    }
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, name)| json!({"name": name, "served": true, "storage": index == 0, "schema": 0}))
        .collect();
    let content = json!({
        "group": if group == "core" { "" } else { group },
        "kind": kind, "namespaced": namespaced, "versions": versions, "schemas": [schema],
    });
    SchemaFile { path: format!("{group}/{kind}.json"), content }
}

fn core_schema<T: JsonSchema>() -> Value {
    let mut schema = trimmed(schemars::schema_for!(T).as_value());
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        // Kubernetes' own types say "any object" in this way; a structural schema would mean "no fields" by it.
        for definition in
            definitions.values_mut().filter(|definition| **definition == json!({"type": "object"}))
        {
            definition["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
    }
    schema
}

/// The names of the definitions that `schema` reaches.
fn collect_definitions(schema: &Value, definitions: &Value, used: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let name = reference.trim_start_matches("#/$defs/");
                if used.insert(name.to_owned()) {
                    collect_definitions(&definitions[name], definitions, used);
                }
            }
            for (name, value) in fields {
                if name != "$defs" {
                    collect_definitions(value, definitions, used);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_definitions(item, definitions, used)),
        _ => {}
    }
}
