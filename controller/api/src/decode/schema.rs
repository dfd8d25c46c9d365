//! A kind's OpenAPI schema as a typed tree, compiled once from the trimmed JSON of `schemas/`.

mod compile;

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
pub(super) enum SchemaError {
    #[error("{at}: unknown keyword {keyword}")]
    UnknownKeyword { at: String, keyword: String },
    #[error("{at}: unusable {keyword}")]
    Unusable { at: String, keyword: &'static str },
    #[error("{0}: not a schema file")]
    File(String),
}

impl Schema {
    /// Compiles an OpenAPI v3 schema in its structural form; `$ref` may name an entry of its own `$defs`.
    pub(super) fn compile(json: &Value) -> Result<Arc<Self>, SchemaError> {
        compile::compile(json)
    }

    /// Compiles every pattern and rule under this schema, which is otherwise left until one is needed, and refuses formats that a rule
    /// would see as more than text.
    #[cfg(test)]
    pub(super) fn compile_parts(&self, at: &str) -> Result<(), String> {
        if let Some(pattern) = &self.pattern
            && regex(&pattern.text).is_none()
        {
            return Err(format!("{at}: pattern {:?} does not compile", pattern.text));
        }
        for rule in &self.rules {
            rule.compile()
                .map_err(|error| format!("{at}: rule {:?} does not compile: {error}", rule.source))?;
        }
        let is_text = matches!(
            self.format,
            None | Some(Format::Bounded { .. } | Format::Unchecked | Format::Ipv4 | Format::Ipv6)
        );
        if self.has_rules && !is_text {
            return Err(format!("{at}: a rule would see a typed value of {:?}", self.format));
        }
        let logic = &self.logic;
        let parts = logic.all_of.iter().chain(&logic.any_of).chain(&logic.one_of).chain(&logic.not);
        let named = self.properties.iter().map(|(name, schema)| (&**name, schema));
        for (name, schema) in
            named.chain(parts.chain(&self.items).chain(&self.additional).map(|schema| ("", schema)))
        {
            schema.compile_parts(&format!("{at}.{name}"))?;
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

/// The map of a JSON object, or an empty one.
pub(super) fn object(value: Option<&Value>) -> &Map<String, Value> {
    static EMPTY: OnceLock<Map<String, Value>> = OnceLock::new();
    value.and_then(Value::as_object).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}
