//! From a CRD's OpenAPI schema to named shapes; structurally equal shapes become one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{names, words};

/// One kind: what its CRD says about it.
pub(crate) struct Kind {
    pub rust: String,
    pub kind: String,
    pub group: String,
    pub version: String,
    /// Every served version; all have this shape.
    pub versions: Vec<String>,
    pub plural: String,
    pub namespaced: bool,
    pub doc: Option<String>,
    pub spec: String,
    pub status: Option<String>,
}

/// A type that several places of several CRDs may share.
#[derive(Clone)]
pub(crate) struct Shape {
    pub body: Body,
    pub doc: Option<String>,
    /// The kinds that use it.
    pub kinds: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) enum Body {
    Struct(Vec<Field>),
    /// The values, in the CRD's order.
    Enum(Vec<String>),
}

#[derive(Clone)]
pub(crate) struct Field {
    pub json: String,
    pub of: Type,
    pub required: bool,
    pub default: Option<Value>,
    pub doc: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Type {
    String,
    Bool,
    Integer(&'static str),
    Duration,
    Named(String),
    /// A type of k8s-openapi.
    Kubernetes(&'static str),
    List(Box<Type>),
    Map(Box<Type>),
}

/// Reads kinds one after the other and merges their shapes.
#[derive(Default)]
pub(crate) struct Reader {
    shapes: BTreeMap<String, Shape>,
    /// First name that a shape of this key was given.
    by_key: BTreeMap<String, String>,
    unnamed: Vec<String>,
}

impl Reader {
    /// Reads the v1 (or else the stored) version of a CRD.
    pub(crate) fn kind(&mut self, crd: &Value) -> Result<Kind> {
        let text = |pointer: &str| {
            crd.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .with_context(|| format!("no {pointer}"))
        };
        let kind = text("/spec/names/kind")?;
        let version = best_version(crd)?;
        let schema = schema_of(version)?;
        let spec = self.part(&kind, schema, "spec")?.with_context(|| format!("{kind} has no spec"))?;
        let status = self.part(&kind, schema, "status")?;
        let mut versions = vec![name_of(version)?];
        for other in served_versions(crd).filter(|other| *other != version) {
            let schema = schema_of(other)?;
            let same = self.part(&kind, schema, "spec")?.as_ref() == Some(&spec)
                && self.part(&kind, schema, "status")? == status;
            ensure!(same, "{kind} has another shape in {}", name_of(other)?);
            versions.push(name_of(other)?);
        }
        Ok(Kind {
            rust: names::named(&kind)
                .with_context(|| format!("kind {kind} has no name in names.rs"))?
                .to_owned(),
            group: text("/spec/group")?,
            version: name_of(version)?,
            versions,
            plural: text("/spec/names/plural")?,
            namespaced: text("/spec/scope")? == "Namespaced",
            doc: description(schema),
            spec,
            status,
            kind,
        })
    }

    /// The shapes by name. Errors name the shapes that have no name yet.
    pub(crate) fn finish(self) -> Result<BTreeMap<String, Shape>> {
        if !self.unnamed.is_empty() {
            bail!("shapes without a name, add them to names.rs:\n{}", self.unnamed.join("\n"));
        }
        Ok(self.shapes)
    }

    /// The name of the shape of `spec` or `status`.
    fn part(&mut self, kind: &str, schema: &Value, part: &str) -> Result<Option<String>> {
        let Some(schema) = schema.pointer(&format!("/properties/{part}")) else { return Ok(None) };
        match self.type_of(schema, &format!("{kind}.{part}"))? {
            Type::Named(name) => Ok(Some(name)),
            other => bail!("{kind}.{part} is {other:?}, not an object"),
        }
    }

    fn type_of(&mut self, schema: &Value, path: &str) -> Result<Type> {
        let kind =
            schema.get("type").and_then(Value::as_str).with_context(|| format!("{path} has no type"))?;
        match kind {
            "boolean" => Ok(Type::Bool),
            "integer" => Ok(Type::Integer(integer(schema))),
            "string" => self.string(schema, path),
            "array" => {
                let items = schema.get("items").with_context(|| format!("{path} has no items"))?;
                Ok(Type::List(Box::new(self.type_of(items, &format!("{path}[]"))?)))
            }
            "object" => self.object(schema, path),
            other => bail!("{path} has type {other}"),
        }
    }

    fn string(&mut self, schema: &Value, path: &str) -> Result<Type> {
        if schema.get("format").and_then(Value::as_str) == Some("date-time") {
            return Ok(Type::Kubernetes("Time"));
        }
        if schema.get("pattern").and_then(Value::as_str) == Some(DURATION) {
            return Ok(Type::Duration);
        }
        let Some(values) = schema.get("enum").and_then(Value::as_array) else { return Ok(Type::String) };
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut sorted = values.clone();
        sorted.sort();
        self.name(path, format!("enum {sorted:?}"), Body::Enum(values), description(schema))
    }

    fn object(&mut self, schema: &Value, path: &str) -> Result<Type> {
        if let Some(values) = schema.get("additionalProperties") {
            return Ok(Type::Map(Box::new(self.type_of(values, &format!("{path}{{}}"))?)));
        }
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .with_context(|| format!("{path} has no fields"))?;
        if let Some((_, name)) = KUBERNETES.iter().find(|(fields, _)| same_names(fields, properties)) {
            return Ok(Type::Kubernetes(name));
        }
        let required: BTreeSet<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut fields = Vec::new();
        for (json, schema) in properties {
            let path = format!("{path}.{json}");
            let of = self.type_of(schema, &path)?;
            let default = schema.get("default").filter(|default| !is_status_preset(&path, default)).cloned();
            fields.push(Field {
                required: required.contains(json.as_str()),
                json: json.clone(),
                of,
                default,
                doc: description(schema),
            });
        }
        fields.sort_by(|left, right| left.json.cmp(&right.json));
        self.name(path, key(&fields), Body::Struct(fields), description(schema))
    }

    fn name(&mut self, path: &str, key: String, body: Body, doc: Option<String>) -> Result<Type> {
        let known = self.by_key.get(&key).cloned();
        let Some(name) = names::named(path).map(str::to_owned).or(known) else {
            self.unnamed.push(path.to_owned());
            return Ok(Type::Named(path.to_owned()));
        };
        self.by_key.entry(key.clone()).or_insert_with(|| name.clone());
        let kind = path.split('.').next().unwrap_or_default().to_owned();
        let shape = self.shapes.entry(name.clone()).or_insert_with(|| Shape {
            body: body.clone(),
            doc,
            kinds: BTreeSet::new(),
        });
        if shape.key() != key {
            bail!("{path} is named {name}, which is already another shape:\n{}\n{key}", shape.key());
        }
        shape.kinds.insert(kind);
        Ok(Type::Named(name))
    }
}

impl Shape {
    fn key(&self) -> String {
        match &self.body {
            Body::Struct(fields) => key(fields),
            Body::Enum(values) => {
                let mut sorted = values.clone();
                sorted.sort();
                format!("enum {sorted:?}")
            }
        }
    }
}

/// What makes two structs equal: everything but prose, and but whether an empty list may be left out.
fn key(fields: &[Field]) -> String {
    let mut text = String::from("struct");
    for field in fields {
        let optional = matches!(field.of, Type::List(_) | Type::Map(_)) || !field.required;
        text += &format!("\n  {} {:?} optional={optional} default={:?}", field.json, field.of, field.default);
    }
    text
}

/// `v1` if there is one, since the stored version of ReferenceGrant is still v1beta1.
fn best_version(crd: &Value) -> Result<&Value> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).context("no versions")?;
    let is_v1 = |version: &&Value| version.get("name").and_then(Value::as_str) == Some("v1");
    let is_stored = |version: &&Value| version.get("storage").and_then(Value::as_bool) == Some(true);
    versions.iter().find(is_v1).or_else(|| versions.iter().find(is_stored)).context("no stored version")
}

fn served_versions(crd: &Value) -> impl Iterator<Item = &Value> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let is_served = |version: &&Value| version.get("served").and_then(Value::as_bool) == Some(true);
    versions.into_iter().flatten().filter(is_served)
}

fn schema_of(version: &Value) -> Result<&Value> {
    version.pointer("/schema/openAPIV3Schema").context("version has no schema")
}

fn name_of(version: &Value) -> Result<String> {
    version.get("name").and_then(Value::as_str).map(str::to_owned).context("version has no name")
}

/// Whether a default is a condition that the API server writes into a new object's status; what we
/// write is a whole status, so such a default must not creep into it.
fn is_status_preset(path: &str, default: &Value) -> bool {
    path.contains(".status") && !default.is_string()
}

fn integer(schema: &Value) -> &'static str {
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let smallest =
        schema.get("enum").and_then(Value::as_array).map(|values| values.iter().filter_map(Value::as_i64));
    let (low, high) = match smallest {
        Some(values) => {
            let values: Vec<i64> = values.collect();
            (values.iter().min().copied(), values.iter().max().copied())
        }
        None => (bound("minimum"), bound("maximum")),
    };
    let wide = schema.get("format").and_then(Value::as_str) == Some("int64");
    match (low, high) {
        _ if wide => "i64",
        (Some(0..), Some(..=65535)) => "u16",
        (Some(0..), _) => "u32",
        _ => "i32",
    }
}

fn description(schema: &Value) -> Option<String> {
    schema.get("description").and_then(Value::as_str).and_then(words::first_sentence)
}

fn same_names(fields: &[&str], properties: &serde_json::Map<String, Value>) -> bool {
    fields.len() == properties.len() && fields.iter().all(|field| properties.contains_key(*field))
}

/// The pattern by which Gateway API marks a GEP-2257 duration.
const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Shapes that k8s-openapi has already, by their fields.
const KUBERNETES: &[(&[&str], &str)] = &[
    (&["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"], "Condition"),
    (&["matchExpressions", "matchLabels"], "LabelSelector"),
];
