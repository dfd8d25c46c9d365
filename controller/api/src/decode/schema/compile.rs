//! From JSON to [`Schema`]. A keyword that is not known is refused, so that none is ignored.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{Bound, Limits, ListType, Pattern, Schema, SchemaError, SchemaKind};
use crate::decode::format::Format;
use crate::decode::rules::Rule;

/// Compiles the schema `json`.
pub(super) fn compile(json: &Value) -> Result<Arc<Schema>, SchemaError> {
    let mut compiler = Compiler { definitions: json.get("$defs"), done: HashMap::new(), open: Vec::new() };
    compiler.schema(json, "")
}

struct Compiler<'j> {
    definitions: Option<&'j Value>,
    done: HashMap<&'j str, Arc<Schema>>,
    open: Vec<&'j str>,
}

impl<'j> Compiler<'j> {
    fn schema(&mut self, json: &'j Value, at: &str) -> Result<Arc<Schema>, SchemaError> {
        let unusable = |keyword| SchemaError::Unusable { at: at.to_owned(), keyword };
        // `additionalProperties: true` and the like.
        if let Value::Bool(true) = json {
            let schema = Schema { preserve_unknown: true, ..Schema::any() };
            return Ok(Arc::new(schema));
        }
        let fields = json.as_object().ok_or_else(|| unusable("schema"))?;
        if let Some(reference) = fields.get("$ref") {
            let name = reference
                .as_str()
                .and_then(|text| text.strip_prefix("#/$defs/"))
                .ok_or_else(|| unusable("$ref"))?;
            return self.definition(name, at);
        }
        let mut schema = Schema::any();
        for (keyword, value) in fields {
            self.keyword(&mut schema, keyword, value, at)?;
        }
        if let Some(default) = schema.default.take() {
            let mut default = default;
            schema.fill_defaults(&mut default);
            schema.default = Some(default);
        }
        let below = schema.properties.values().chain(&schema.items).chain(&schema.additional);
        schema.has_rules = !schema.rules.is_empty() || below.into_iter().any(|schema| schema.has_rules);
        Ok(Arc::new(schema))
    }

    fn definition(&mut self, name: &'j str, at: &str) -> Result<Arc<Schema>, SchemaError> {
        if let Some(schema) = self.done.get(name) {
            return Ok(Arc::clone(schema));
        }
        let json = self.definitions.and_then(|definitions| definitions.get(name));
        let recursive = self.open.contains(&name);
        let json = json
            .filter(|_| !recursive)
            .ok_or(SchemaError::Unusable { at: at.to_owned(), keyword: "$ref" })?;
        self.open.push(name);
        let schema = if name.ends_with(".api.resource.Quantity") {
            Arc::new(Schema { kind: SchemaKind::Quantity, ..Schema::any() })
        } else {
            self.schema(json, at)?
        };
        self.open.pop();
        self.done.insert(name, Arc::clone(&schema));
        Ok(schema)
    }

    fn keyword(
        &mut self,
        schema: &mut Schema,
        keyword: &str,
        value: &'j Value,
        at: &str,
    ) -> Result<(), SchemaError> {
        let unusable = |keyword| SchemaError::Unusable { at: at.to_owned(), keyword };
        match keyword {
            "type" => schema.kind = value.as_str().and_then(kind_named).ok_or_else(|| unusable("type"))?,
            "nullable" => schema.nullable = value == true,
            "default" => schema.default = Some(value.clone()),
            "enum" => schema.enumeration = value.as_array().cloned().ok_or_else(|| unusable("enum"))?,
            "format" => {
                let format = value.as_str().and_then(Format::named).ok_or_else(|| unusable("format"))?;
                schema.format = Some(format);
            }
            "pattern" => {
                let text = value.as_str().ok_or_else(|| unusable("pattern"))?;
                schema.pattern = Some(Pattern { text: text.into(), compiled: OnceLock::new() });
            }
            "required" => {
                schema.required = texts(value).ok_or_else(|| unusable("required"))?;
                schema.required.sort();
            }
            "items" => schema.items = Some(self.schema(value, &format!("{at}[]"))?),
            "properties" => {
                for (name, value) in value.as_object().ok_or_else(|| unusable("properties"))? {
                    schema
                        .properties
                        .insert(name.as_str().into(), self.schema(value, &format!("{at}.{name}"))?);
                }
            }
            "additionalProperties" if value == false => {}
            "additionalProperties" => schema.additional = Some(self.schema(value, &format!("{at}{{}}"))?),
            "allOf" => schema.logic.all_of = self.schemas(value, at)?,
            "anyOf" => schema.logic.any_of = self.schemas(value, at)?,
            "oneOf" => schema.logic.one_of = self.schemas(value, at)?,
            "not" => schema.logic.not = Some(self.schema(value, at)?),
            "x-kubernetes-int-or-string" => schema.kind = SchemaKind::IntOrString,
            "x-kubernetes-preserve-unknown-fields" => schema.preserve_unknown = value == true,
            "x-kubernetes-list-type" => {
                schema.list = list_type(value, schema).ok_or_else(|| unusable("list type"))?
            }
            "x-kubernetes-list-map-keys" => {
                schema.list = ListType::Map(texts(value).ok_or_else(|| unusable("list map keys"))?);
            }
            // Says how server-side apply merges, which is not done here.
            "x-kubernetes-map-type" | "$defs" => {}
            "x-kubernetes-validations" => {
                let rules = value.as_array().ok_or_else(|| unusable("rules"))?;
                schema.rules =
                    rules.iter().map(Rule::parse).collect::<Option<_>>().ok_or_else(|| unusable("rules"))?;
            }
            _ => limit(&mut schema.limits, keyword, value, at)?,
        }
        Ok(())
    }

    fn schemas(&mut self, value: &'j Value, at: &str) -> Result<Vec<Arc<Schema>>, SchemaError> {
        let parts = value
            .as_array()
            .ok_or_else(|| SchemaError::Unusable { at: at.to_owned(), keyword: "list of schemas" })?;
        parts.iter().map(|part| self.schema(part, at)).collect()
    }
}

fn kind_named(name: &str) -> Option<SchemaKind> {
    Some(match name {
        "array" => SchemaKind::Array,
        "boolean" => SchemaKind::Boolean,
        "integer" => SchemaKind::Integer,
        "number" => SchemaKind::Number,
        "object" => SchemaKind::Object,
        "string" => SchemaKind::String,
        _ => return None,
    })
}

fn list_type(value: &Value, schema: &mut Schema) -> Option<ListType> {
    match value.as_str()? {
        "atomic" => Some(ListType::Atomic),
        "set" => Some(ListType::Set),
        // The keys are in a keyword of their own, which comes first in the order of names.
        "map" => Some(std::mem::take(&mut schema.list)),
        _ => None,
    }
}

fn limit(limits: &mut Limits, keyword: &str, value: &Value, at: &str) -> Result<(), SchemaError> {
    let count = || value.as_u64().and_then(|count| usize::try_from(count).ok());
    let unusable = || SchemaError::Unusable { at: at.to_owned(), keyword: "limit" };
    let number = || value.as_f64().ok_or_else(unusable);
    let exclusive = |bound: &Option<Bound>| bound.is_some_and(|bound| bound.exclusive);
    match keyword {
        "minimum" => limits.minimum = Some(Bound { value: number()?, exclusive: exclusive(&limits.minimum) }),
        "maximum" => limits.maximum = Some(Bound { value: number()?, exclusive: exclusive(&limits.maximum) }),
        // These come before the bound that they change, in the order of names.
        "exclusiveMinimum" => {
            limits.minimum = Some(Bound { value: f64::NEG_INFINITY, exclusive: value == true })
        }
        "exclusiveMaximum" => limits.maximum = Some(Bound { value: f64::INFINITY, exclusive: value == true }),
        "minLength" => limits.min_length = Some(count().ok_or_else(unusable)?),
        "maxLength" => limits.max_length = Some(count().ok_or_else(unusable)?),
        "minItems" => limits.min_items = Some(count().ok_or_else(unusable)?),
        "maxItems" => limits.max_items = Some(count().ok_or_else(unusable)?),
        "minProperties" => limits.min_properties = Some(count().ok_or_else(unusable)?),
        "maxProperties" => limits.max_properties = Some(count().ok_or_else(unusable)?),
        _ => return Err(SchemaError::UnknownKeyword { at: at.to_owned(), keyword: keyword.to_owned() }),
    }
    Ok(())
}

fn texts(value: &Value) -> Option<Vec<Box<str>>> {
    value.as_array()?.iter().map(|text| text.as_str().map(Box::from)).collect()
}
