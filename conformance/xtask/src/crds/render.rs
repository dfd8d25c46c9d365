//! From shapes to Rust text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::schema::{Body, Field, Kind, Shape, Type};
use super::words;

type Shapes = BTreeMap<String, Shape>;

/// The text of every module: `common`, and one for each kind.
pub(crate) fn modules(kinds: &[Kind], shapes: &Shapes) -> Result<BTreeMap<String, String>> {
    let mut modules = BTreeMap::new();
    let shared: Vec<&str> =
        shapes.iter().filter(|(_, shape)| shape.kinds.len() > 1).map(|(name, _)| name.as_str()).collect();
    modules.insert(
        "common".to_owned(),
        module("Shapes that several Gateway API kinds share.", &[], &shared, shapes)?,
    );
    for kind in kinds {
        let own: Vec<&str> = shapes
            .iter()
            .filter(|(_, shape)| shape.kinds.len() == 1 && shape.kinds.contains(&kind.kind))
            .map(|(name, _)| name.as_str())
            .collect();
        let about = format!("{}, {}/{}.", kind.kind, kind.group, kind.version);
        modules.insert(words::snake(&kind.kind), module(&about, &[kind], &own, shapes)?);
    }
    Ok(modules)
}

fn module(about: &str, kinds: &[&Kind], names: &[&str], shapes: &Shapes) -> Result<String> {
    let mut body = String::new();
    for kind in kinds {
        body += &top_level(kind);
    }
    for name in names {
        let shape = shapes.get(*name).context("a listed shape exists")?;
        body += &match &shape.body {
            Body::Struct(fields) => structure(name, shape, fields, shapes)?,
            Body::Enum(values) => enumeration(name, shape, values),
        };
    }
    let mut text = format!(
        "//! {about}\n//!\n//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.\n\n"
    );
    text += &imports(&body, names, kinds, shapes);
    Ok(text + &body)
}

fn imports(body: &str, names: &[&str], kinds: &[&Kind], shapes: &Shapes) -> String {
    let words: BTreeSet<&str> =
        body.lines().filter(|line| !line.trim_start().starts_with("///")).flat_map(identifiers).collect();
    let mut text = String::new();
    if words.contains("BTreeMap") {
        text += "use std::collections::BTreeMap;\n\n";
    }
    let meta: Vec<&str> = ["Condition", "LabelSelector", "ObjectMeta", "Time"]
        .into_iter()
        .filter(|name| words.contains(name))
        .collect();
    if !meta.is_empty() {
        let _ =
            writeln!(text, "use k8s_openapi::apimachinery::pkg::apis::meta::v1::{{{}}};", meta.join(", "));
    }
    text += "use serde::{Deserialize, Serialize};\n\n";
    if words.contains("Duration") {
        text += "use crate::duration::Duration;\n";
    }
    let common: Vec<&str> = shapes
        .iter()
        .filter(|(name, shape)| {
            shape.kinds.len() > 1 && !names.contains(&name.as_str()) && words.contains(name.as_str())
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !common.is_empty() {
        let _ = writeln!(text, "use super::common::{{{}}};", common.join(", "));
    }
    if !kinds.is_empty() {
        text += "use crate::object::Object;\n";
    }
    text + "\n"
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
}

fn top_level(kind: &Kind) -> String {
    let mut text = doc(kind.doc.as_deref(), 0);
    let Kind { rust, spec, .. } = kind;
    let _ =
        writeln!(text, "#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]\npub struct {rust} {{");
    text += "    /// Name, namespace, labels and the rest of the standard metadata.\n";
    text += "    #[serde(default)]\n    pub metadata: ObjectMeta,\n";
    let _ = writeln!(text, "    /// What the user asks for.\n    pub spec: {spec},");
    if let Some(status) = &kind.status {
        text += "    /// What the controllers have answered.\n";
        text += "    #[serde(default, skip_serializing_if = \"Option::is_none\")]\n";
        let _ = writeln!(text, "    pub status: Option<{status}>,");
    }
    text += "}\n\n";
    let _ = writeln!(text, "impl Object for {rust} {{");
    for (name, value) in
        [("GROUP", &kind.group), ("VERSION", &kind.version), ("KIND", &kind.kind), ("PLURAL", &kind.plural)]
    {
        let _ = writeln!(text, "    const {name}: &'static str = {value:?};");
    }
    let _ = writeln!(text, "    const VERSIONS: &'static [&'static str] = &{:?};", kind.versions);
    let _ = writeln!(text, "    const NAMESPACED: bool = {};\n", kind.namespaced);
    text += "    fn metadata(&self) -> &ObjectMeta {\n        &self.metadata\n    }\n\n";
    text += "    fn metadata_mut(&mut self) -> &mut ObjectMeta {\n        &mut self.metadata\n    }\n}\n\n";
    text
}

fn structure(name: &str, shape: &Shape, fields: &[Field], shapes: &Shapes) -> Result<String> {
    let mut text = doc(shape.doc.as_deref(), 0);
    let defaultable = has_default(fields, shapes);
    let plain = fields.iter().all(|field| field.default.is_none());
    let mut derives = vec!["Clone", "Debug"];
    if defaultable && plain {
        derives.push("Default");
    }
    derives.extend(["PartialEq", "Serialize", "Deserialize"]);
    let _ = writeln!(
        text,
        "#[derive({})]\n#[serde(rename_all = \"camelCase\")]\npub struct {name} {{",
        derives.join(", ")
    );
    for field in fields {
        text += &member(name, field);
    }
    text += "}\n\n";
    if defaultable && !plain {
        let _ = writeln!(text, "impl Default for {name} {{\n    fn default() -> Self {{\n        Self {{");
        for field in fields {
            let value =
                if field.default.is_some() { default_name(name, field) + "()" } else { absent(field) };
            let _ = writeln!(text, "{}: {value},", words::field(&field.json));
        }
        text += "}\n}\n}\n\n";
    }
    for field in fields {
        if let Some(value) = &field.default {
            let value = expression(value, &field.of, shapes)
                .with_context(|| format!("default of {name}.{}", field.json))?;
            let of = rust_type(&field.of);
            let _ = writeln!(text, "fn {}() -> {of} {{\n    {value}\n}}\n", default_name(name, field));
        }
    }
    Ok(text)
}

fn member(name: &str, field: &Field) -> String {
    let rust = words::field(&field.json);
    let mut text = doc(field.doc.as_deref(), 4);
    let mut serde = Vec::new();
    if words::camel(&rust) != field.json {
        serde.push(format!("rename = {:?}", field.json));
    }
    let mut of = rust_type(&field.of);
    let collection = match field.of {
        Type::List(_) => Some("Vec"),
        Type::Map(_) => Some("BTreeMap"),
        _ => None,
    };
    if field.default.is_some() {
        serde.push(format!("default = {:?}", default_name(name, field)));
    } else if let Some(collection) = collection {
        serde.push("default".to_owned());
        if !field.required {
            serde.push(format!("skip_serializing_if = \"{collection}::is_empty\""));
        }
    } else if !field.required {
        serde.push("default".to_owned());
        serde.push("skip_serializing_if = \"Option::is_none\"".to_owned());
        of = format!("Option<{of}>");
    }
    if !serde.is_empty() {
        let _ = writeln!(text, "    #[serde({})]", serde.join(", "));
    }
    let _ = writeln!(text, "    pub {rust}: {of},");
    text
}

fn enumeration(name: &str, shape: &Shape, values: &[String]) -> String {
    let mut text = doc(shape.doc.as_deref(), 0);
    text += "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]\n";
    let _ = writeln!(text, "pub enum {name} {{");
    for value in values {
        let variant = variant(value);
        let _ = writeln!(text, "    /// `{value}`.");
        if variant != *value {
            let _ = writeln!(text, "    #[serde(rename = {value:?})]");
        }
        let _ = writeln!(text, "    {variant},");
    }
    text += "}\n\n";
    let _ = writeln!(text, "impl {name} {{\n    /// The word that the object's YAML uses.");
    text += "    pub fn as_str(self) -> &'static str {\n        match self {\n";
    for value in values {
        let _ = writeln!(text, "            Self::{} => {value:?},", variant(value));
    }
    text + "        }\n    }\n}\n\n"
}

fn variant(value: &str) -> String {
    if value == "*" {
        return "Any".to_owned();
    }
    // A word in capitals only (a method, a protocol) is one word.
    if value.chars().all(|character| !character.is_ascii_lowercase()) {
        return words::pascal(&value.to_ascii_lowercase());
    }
    words::pascal(value)
}

fn has_default(fields: &[Field], shapes: &Shapes) -> bool {
    fields.iter().all(|field| {
        if field.default.is_some() || !field.required {
            return true;
        }
        match &field.of {
            Type::Named(name) => match shapes.get(name).map(|shape| &shape.body) {
                Some(Body::Struct(fields)) => has_default(fields, shapes),
                _ => false,
            },
            _ => true,
        }
    })
}

/// The value of a field that is left out and has no default of its own.
fn absent(field: &Field) -> String {
    match &field.of {
        Type::List(_) | Type::Map(_) => "Default::default()",
        _ if !field.required => "None",
        _ => "Default::default()",
    }
    .to_owned()
}

fn expression(value: &Value, of: &Type, shapes: &Shapes) -> Result<String> {
    Ok(match (value, of) {
        (Value::String(text), Type::String) if text.is_empty() => "String::new()".to_owned(),
        (Value::String(text), Type::String) => format!("{text:?}.to_owned()"),
        (Value::String(text), Type::Duration) => {
            let seconds: u64 = text.strip_suffix('s').context("a default duration in seconds")?.parse()?;
            format!("Duration::from_secs({seconds})")
        }
        (Value::String(text), Type::Named(name)) => format!("{name}::{}", variant(text)),
        (Value::Number(number), Type::Integer(_)) => number.to_string(),
        (Value::Bool(value), Type::Bool) => value.to_string(),
        (Value::Array(values), Type::List(of)) => {
            let values =
                values.iter().map(|value| expression(value, of, shapes)).collect::<Result<Vec<_>>>()?;
            format!("vec![{}]", values.join(", "))
        }
        (Value::Object(values), Type::Named(name)) => {
            let Some(Body::Struct(fields)) = shapes.get(name).map(|shape| &shape.body) else {
                bail!("{name} is not a struct")
            };
            literal(name, fields, values, shapes)?
        }
        _ => bail!("no expression for {value} as {of:?}"),
    })
}

fn literal(
    name: &str,
    fields: &[Field],
    values: &serde_json::Map<String, Value>,
    shapes: &Shapes,
) -> Result<String> {
    let short = has_default(fields, shapes);
    let mut members = Vec::new();
    for field in fields {
        let rust = words::field(&field.json);
        match values.get(&field.json) {
            Some(value) => {
                let value = expression(value, &field.of, shapes)?;
                let plain = field.required
                    || field.default.is_some()
                    || matches!(field.of, Type::List(_) | Type::Map(_));
                members.push(if plain {
                    format!("{rust}: {value}")
                } else {
                    format!("{rust}: Some({value})")
                });
            }
            None if short => {}
            None if field.default.is_some() => {
                members.push(format!("{rust}: {}()", default_name(name, field)))
            }
            None => members.push(format!("{rust}: {}", absent(field))),
        }
    }
    let rest = if members.len() < fields.len() { ", ..Default::default()" } else { "" };
    Ok(format!("{name} {{ {}{rest} }}", members.join(", ")))
}

fn default_name(name: &str, field: &Field) -> String {
    format!("default_{}_{}", words::snake(name), words::snake(&field.json))
}

fn rust_type(of: &Type) -> String {
    match of {
        Type::String => "String".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Integer(name) | Type::Kubernetes(name) => (*name).to_owned(),
        Type::Duration => "Duration".to_owned(),
        Type::Named(name) => name.clone(),
        Type::List(of) => format!("Vec<{}>", rust_type(of)),
        Type::Map(of) => format!("BTreeMap<String, {}>", rust_type(of)),
    }
}

/// A doc comment, wrapped at a width that reads well.
fn doc(text: Option<&str>, indent: usize) -> String {
    let Some(text) = text else { return String::new() };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| !line.is_empty() && line.len() + word.len() + indent > 96) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let margin = " ".repeat(indent);
    lines.iter().map(|line| format!("{margin}/// {line}\n")).collect()
}
