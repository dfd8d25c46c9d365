//! `allOf`, `anyOf`, `oneOf` and `not`: what a structural schema may demand of a value beyond its type.

use std::sync::Arc;

use serde_json::Value;

use crate::decode::schema::{Bound, Logic, Schema, SchemaKind};

/// What `value` breaks, if anything.
pub(super) fn broken(logic: &Logic, value: &Value) -> Option<String> {
    if !logic.all_of.iter().all(|schema| holds(schema, value)) {
        return Some("must hold all of allOf".to_owned());
    }
    if !logic.any_of.is_empty() && !logic.any_of.iter().any(|schema| holds(schema, value)) {
        return Some(format!("must be one of: {}", alternatives(&logic.any_of)));
    }
    if !logic.one_of.is_empty() && logic.one_of.iter().filter(|schema| holds(schema, value)).count() != 1 {
        return Some(format!("must be exactly one of: {}", alternatives(&logic.one_of)));
    }
    if logic.not.as_ref().is_some_and(|schema| holds(schema, value)) {
        return Some("must not hold what its schema excludes".to_owned());
    }
    None
}

fn alternatives(schemas: &[Arc<Schema>]) -> String {
    schemas.iter().map(|schema| describe(schema)).collect::<Vec<_>>().join("; or ")
}

/// A demand in words, as far as the alternatives of CRDs go: fields with formats, values, and fields that are there.
fn describe(schema: &Schema) -> String {
    let mut parts = Vec::new();
    for (name, property) in &schema.properties {
        parts.push(format!("{name} {}", describe(property)));
    }
    for name in &schema.required {
        parts.push(format!("{name} is there"));
    }
    if let Some(format) = schema.format {
        parts.push(format!("is {}", format.describe()));
    }
    if let Some(pattern) = &schema.pattern {
        parts.push(format!("matches {}", pattern.text));
    }
    if !schema.enumeration.is_empty() {
        let values: Vec<String> = schema.enumeration.iter().map(Value::to_string).collect();
        parts.push(format!("is {}", values.join(" or ")));
    }
    if !schema.logic.any_of.is_empty() {
        parts.push(alternatives(&schema.logic.any_of).replace("; or ", " or "));
    }
    if let Some(not) = &schema.logic.not {
        parts.push(format!("not ({})", describe(not)));
    }
    match schema.kind {
        SchemaKind::Integer => parts.push("is an integer".to_owned()),
        SchemaKind::String => parts.push("is a string".to_owned()),
        _ => {}
    }
    parts.join(", ")
}

/// Whether `value` holds all that `schema` demands. Unknown fields are none of its business here.
fn holds(schema: &Schema, value: &Value) -> bool {
    let typed = match schema.kind {
        SchemaKind::Any => true,
        SchemaKind::Array => value.is_array(),
        SchemaKind::Boolean => value.is_boolean(),
        SchemaKind::IntOrString => value.is_i64() || value.is_string(),
        SchemaKind::Integer => value.is_i64(),
        SchemaKind::Number | SchemaKind::Quantity => value.is_number(),
        SchemaKind::Object => value.is_object(),
        SchemaKind::String => value.is_string(),
    };
    let listed = schema.enumeration.is_empty() || schema.enumeration.contains(value);
    typed
        && listed
        && scalar_holds(schema, value)
        && children_hold(schema, value)
        && broken(&schema.logic, value).is_none()
}

fn scalar_holds(schema: &Schema, value: &Value) -> bool {
    let limits = &schema.limits;
    if let Some(text) = value.as_str() {
        let length = text.chars().count();
        return limits.min_length.is_none_or(|min| length >= min)
            && limits.max_length.is_none_or(|max| length <= max)
            && schema.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
            && schema.format.is_none_or(|format| format.holds(text));
    }
    if let Some(number) = value.as_f64() {
        let above = |bound: Bound| if bound.exclusive { number > bound.value } else { number >= bound.value };
        let below = |bound: Bound| if bound.exclusive { number < bound.value } else { number <= bound.value };
        return limits.minimum.is_none_or(above) && limits.maximum.is_none_or(below);
    }
    true
}

fn children_hold(schema: &Schema, value: &Value) -> bool {
    let limits = &schema.limits;
    match value {
        Value::Object(fields) => {
            let mut properties = schema.properties.iter().map(|(name, schema)| (schema, fields.get(&**name)));
            limits.min_properties.is_none_or(|min| fields.len() >= min)
                && limits.max_properties.is_none_or(|max| fields.len() <= max)
                && schema.required.iter().all(|name| fields.contains_key(&**name))
                && properties.all(|(schema, field)| field.is_none_or(|field| holds(schema, field)))
        }
        Value::Array(items) => {
            limits.min_items.is_none_or(|min| items.len() >= min)
                && limits.max_items.is_none_or(|max| items.len() <= max)
                && schema.items.as_ref().is_none_or(|schema| items.iter().all(|item| holds(schema, item)))
        }
        _ => true,
    }
}
