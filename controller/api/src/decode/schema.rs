//! A kind's OpenAPI schema as a typed tree, compiled once from the trimmed JSON of `schemas/`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};
use thiserror::Error;

use super::format::Format;
use super::rules::Rule;

/// What one value must be.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) kind: SchemaKind,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<Box<str>, Arc<Schema>>,
    pub(super) additional: Option<Arc<Schema>>,
    pub(super) preserve_unknown: bool,
    pub(super) required: Vec<Box<str>>,
    pub(super) items: Option<Arc<Schema>>,
    pub(super) list: ListType,
    pub(super) limits: Limits,
    pub(super) enumeration: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Format>,
    pub(super) logic: Logic,
    pub(super) rules: Vec<Rule>,
    /// Whether this schema or one under it has CEL rules.
    pub(super) has_rules: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaKind {
    Any,
    Array,
    Boolean,
    IntOrString,
    Integer,
    Number,
    Object,
    /// Kubernetes' resource quantity: a string, or a number that stands for its own digits.
    Quantity,
    String,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    /// Entries differ in these fields taken together.
    Map(Vec<Box<str>>),
}

/// Bounds; each is of the one kind of value that it names.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) min_properties: Option<usize>,
    pub(super) max_properties: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
#[derive(Debug, Default)]
pub(super) struct Logic {
    pub(super) all_of: Vec<Arc<Schema>>,
    pub(super) any_of: Vec<Arc<Schema>>,
    pub(super) one_of: Vec<Arc<Schema>>,
    pub(super) not: Option<Arc<Schema>>,
}

impl Logic {
    pub(super) fn is_empty(&self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty() && self.one_of.is_empty() && self.not.is_none()
    }
}

/// A regular expression that is compiled when first asked.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    compiled: OnceLock<Option<Arc<Regex>>>,
}

impl Pattern {
    /// Whether `text` matches anywhere, as RE2 does.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| regex(&self.text));
        // A test compiles every pattern of every kind, so a pattern that does not compile is never shipped.
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// The compiled form of `pattern`, shared by all that use the same one. The patterns are those of the CRDs in this crate, so their number
/// is bounded.
pub(super) fn regex(pattern: &str) -> Option<Arc<Regex>> {
    /// By pattern; a pattern that does not compile is remembered as such.
    type Regexes = HashMap<Box<str>, Option<Arc<Regex>>>;
    static KNOWN: LazyLock<Mutex<Regexes>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(pattern) {
        Some(regex) => regex.clone(),
        None => {
            let regex = Regex::new(pattern).ok().map(Arc::new);
            known.insert(pattern.into(), regex.clone());
            regex
        }
    }
}

/// Why a schema cannot be used. Only a defect of this crate's own files leads here; a test compiles them all.
#[derive(Debug, Error)]
pub enum SchemaError {
    #[error("{at}: unknown keyword {keyword}")]
    UnknownKeyword { at: String, keyword: String },
    #[error("{at}: unusable {keyword}")]
    Unusable { at: String, keyword: &'static str },
    #[error("{at}: pattern {pattern:?} does not compile")]
    Pattern { at: String, pattern: String },
    #[error("{at}: rule {rule:?} does not compile: {message}")]
    Rule { at: String, rule: String, message: String },
    #[error("{0}: not a schema file")]
    File(String),
}

impl Schema {
    /// Compiles an OpenAPI v3 schema in its structural form; `$ref` may name an entry of its own `$defs`.
    pub(super) fn compile(json: &Value) -> Result<Arc<Self>, SchemaError> {
        let mut compiler =
            Compiler { definitions: json.get("$defs"), done: HashMap::new(), open: Vec::new() };
        compiler.schema(json, "")
    }

    /// Compiles every pattern and rule under this schema, which is otherwise left until one is needed.
    pub(super) fn compile_parts(&self, at: &str) -> Result<(), SchemaError> {
        if let Some(pattern) = &self.pattern
            && regex(&pattern.text).is_none()
        {
            return Err(SchemaError::Pattern { at: at.to_owned(), pattern: pattern.text.to_string() });
        }
        for rule in &self.rules {
            rule.compile().map_err(|message| SchemaError::Rule {
                at: at.to_owned(),
                rule: rule.source.to_string(),
                message,
            })?;
        }
        for (name, schema) in &self.properties {
            schema.compile_parts(&format!("{at}.{name}"))?;
        }
        let logic = &self.logic;
        let parts = logic.all_of.iter().chain(&logic.any_of).chain(&logic.one_of).chain(&logic.not);
        for schema in parts.chain(&self.items).chain(&self.additional) {
            schema.compile_parts(&format!("{at}[]"))?;
        }
        Ok(())
    }

    /// `value` with the defaults of absent fields filled in, all the way down.
    pub(super) fn fill_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    match fields.get_mut(&**name) {
                        Some(field) => schema.fill_defaults(field),
                        None => {
                            if let Some(default) = &schema.default {
                                fields.insert(name.to_string(), default.clone());
                            }
                        }
                    }
                }
                if let Some(schema) = &self.additional {
                    fields.values_mut().for_each(|field| schema.fill_defaults(field));
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.fill_defaults(item));
                }
            }
            _ => {}
        }
    }
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

impl Schema {
    /// The schema of a value that nothing is said about.
    pub(super) fn preserving() -> &'static Self {
        static PRESERVING: OnceLock<Schema> = OnceLock::new();
        PRESERVING.get_or_init(|| Self { preserve_unknown: true, ..Self::any() })
    }

    fn any() -> Self {
        Self {
            kind: SchemaKind::Any,
            nullable: false,
            default: None,
            properties: BTreeMap::new(),
            additional: None,
            preserve_unknown: false,
            required: Vec::new(),
            items: None,
            list: ListType::default(),
            limits: Limits::default(),
            enumeration: Vec::new(),
            pattern: None,
            format: None,
            logic: Logic::default(),
            rules: Vec::new(),
            has_rules: false,
        }
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

/// The map of a JSON object, or an empty one.
pub(super) fn object(value: Option<&Value>) -> &Map<String, Value> {
    static EMPTY: OnceLock<Map<String, Value>> = OnceLock::new();
    value.and_then(Value::as_object).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}
