//! Checks one object's tree against a schema and builds its JSON value, with defaults filled in and nulls left out as an API server does.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::lines::{LineMap, Path};
use super::node::{Node, NodeKey, NodeValue, Position};
use super::problem::{DecodeProblem, Reason, Severity};
use super::schema::{ListType, Schema, SchemaKind};
use super::suggest;

mod logic;
mod scalars;

/// Most problems told of one object: a file in which everything is wrong is not worth more lines.
const MAX_PROBLEMS: usize = 64;

/// Where the checks of one object stand: the field they are at, what they found, and where each field was written.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) path: Path,
    pub(super) lines: LineMap,
    pub(super) problems: Vec<DecodeProblem>,
}

impl Report {
    /// A problem of the field that the walk is at.
    pub(super) fn add(
        &mut self,
        at: Position,
        reason: Reason,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(DecodeProblem {
                path: self.path.as_str().to_owned(),
                line: at.line,
                column: at.column,
                reason,
                message: message.into(),
                mend: mend.into(),
                severity: Severity::Error,
            });
        }
    }

    /// A problem of the field at `path`, once the lines are known.
    pub(super) fn add_at(
        &mut self,
        path: &str,
        reason: Reason,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let at = self.lines.position_of(path).unwrap_or(Position { line: 1, column: 1 });
        let before = std::mem::take(&mut self.path);
        self.path.push_text(path);
        self.add(at, reason, message, mend);
        self.path = before;
    }

    /// Checks `node` against `schema`. The value is absent where a problem was found in it.
    pub(super) fn check(&mut self, schema: &Schema, node: &Node<'_>, at: Position) -> Option<Value> {
        self.lines.insert(self.path.as_str(), at);
        let value = match (schema.kind, &node.value) {
            (SchemaKind::Object, NodeValue::Mapping(entries)) => self.mapping(schema, entries, at)?,
            (SchemaKind::Array, NodeValue::Sequence(items)) => self.sequence(schema, items, at)?,
            (SchemaKind::String, NodeValue::String(text)) => self.text(schema, text, at)?,
            (SchemaKind::Boolean, NodeValue::Bool(value)) => Value::Bool(*value),
            (SchemaKind::Integer, NodeValue::Int(_) | NodeValue::Float(_)) => {
                self.integer(schema, node, at)?
            }
            (SchemaKind::Number, NodeValue::Int(_) | NodeValue::Float(_)) => self.number(schema, node, at)?,
            (SchemaKind::IntOrString, NodeValue::Int(number)) => {
                self.bounds(schema, *number as f64, at)?;
                Value::from(*number)
            }
            (SchemaKind::IntOrString, NodeValue::String(text)) => self.text(schema, text, at)?,
            (SchemaKind::Quantity, NodeValue::String(text)) => Value::from(text.as_ref()),
            (SchemaKind::Quantity, NodeValue::Int(number)) => Value::from(number.to_string()),
            (SchemaKind::Quantity, NodeValue::Float(number)) => Value::from(number.to_string()),
            (SchemaKind::Any, _) => self.check_any(node)?,
            _ => return self.wrong_type(schema, node, at),
        };
        self.enumeration(schema, &value, at)?;
        if !schema.logic.is_empty() {
            self.logic(&schema.logic, &value, at)?;
        }
        Some(value)
    }

    /// Takes a value that no schema describes: only repeated keys can be wrong in it.
    pub(super) fn check_any(&mut self, node: &Node<'_>) -> Option<Value> {
        Some(match &node.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Int(number) => Value::from(*number),
            NodeValue::Float(number) => Value::from(*number),
            NodeValue::String(text) => Value::from(text.as_ref()),
            NodeValue::Sequence(items) => {
                let before = self.path.len();
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.push_index(index);
                    self.lines.insert(self.path.as_str(), item.at);
                    out.extend(self.check_any(item));
                    self.path.truncate(before);
                }
                Value::Array(out)
            }
            NodeValue::Mapping(entries) => {
                let before = self.path.len();
                let mut out = Map::new();
                for (key, child) in entries {
                    self.path.push_key(&key.name);
                    if self.not_repeated(key) {
                        self.lines.insert(self.path.as_str(), key.at);
                        if let Some(value) = self.check_any(child) {
                            out.insert(key.name.to_string(), value);
                        }
                    }
                    self.path.truncate(before);
                }
                Value::Object(out)
            }
        })
    }

    /// Takes the fields that every object has beside its schema's: only repetition, and what is in a dropped status, can be wrong.
    pub(super) fn envelope(&mut self, entries: &[(NodeKey<'_>, Node<'_>)]) {
        let before = self.path.len();
        for (key, node) in entries {
            self.path.push_key(&key.name);
            if self.not_repeated(key) && key.name != "metadata" {
                self.lines.insert(self.path.as_str(), key.at);
                self.check_any(node);
            }
            self.path.truncate(before);
        }
    }

    fn mapping(
        &mut self,
        schema: &Schema,
        entries: &[(NodeKey<'_>, Node<'_>)],
        at: Position,
    ) -> Option<Value> {
        let limits = &schema.limits;
        self.count(entries.len(), limits.min_properties, limits.max_properties, at)?;
        let before = self.path.len();
        let found = self.problems.len();
        let mut out = Map::new();
        let mut failed: Vec<&str> = Vec::new();
        for (key, child) in entries {
            self.path.push_key(&key.name);
            if let Outcome::Failed = self.entry(schema, key, child, &mut out) {
                failed.push(&key.name);
            }
            self.path.truncate(before);
        }
        self.absent(schema, &mut out, &failed, at);
        (self.problems.len() == found).then_some(Value::Object(out))
    }

    /// One entry of a mapping, put into `out` if it is good.
    fn entry(
        &mut self,
        schema: &Schema,
        key: &NodeKey<'_>,
        child: &Node<'_>,
        out: &mut Map<String, Value>,
    ) -> Outcome {
        if !self.not_repeated(key) {
            return Outcome::Failed;
        }
        let name = &*key.name;
        let property = schema.properties.get(name).or(schema.additional.as_ref());
        let Some(property) = property else {
            if !schema.preserve_unknown {
                self.unknown_field(schema, name, key.at);
                return Outcome::Failed;
            }
            self.lines.insert(self.path.as_str(), key.at);
            return Outcome::put(self.check_any(child), name, out);
        };
        // An API server drops a null where null is not a value, and then fills the default in.
        let droppable = matches!(child.value, NodeValue::Null) && property.kind != SchemaKind::Any;
        if droppable {
            if property.nullable {
                self.lines.insert(self.path.as_str(), key.at);
                out.insert(name.to_owned(), Value::Null);
            }
            return Outcome::Good;
        }
        let value = self.check(property, child, key.at);
        Outcome::put(value, name, out)
    }

    /// Defaults and required fields of a mapping.
    fn absent(&mut self, schema: &Schema, out: &mut Map<String, Value>, failed: &[&str], at: Position) {
        for (name, property) in &schema.properties {
            if let Some(default) = &property.default
                && !out.contains_key(&**name)
                && !failed.contains(&&**name)
            {
                out.insert(name.to_string(), default.clone());
            }
        }
        let before = self.path.len();
        for name in &schema.required {
            if !out.contains_key(&**name) && !failed.contains(&&**name) {
                self.path.push_key(name);
                self.add(at, Reason::MissingField, "is required", format!("Add {name}"));
                self.path.truncate(before);
            }
        }
    }

    fn not_repeated(&mut self, key: &NodeKey<'_>) -> bool {
        if key.duplicate {
            let message = format!("the key {:?} occurs twice in one mapping", key.name);
            self.add(key.at, Reason::Duplicate, message, "Remove one of the two");
        }
        !key.duplicate
    }

    fn unknown_field(&mut self, schema: &Schema, name: &str, at: Position) {
        let known = || schema.properties.keys().map(|known| &**known);
        let mend = match suggest::nearest(name, known()) {
            Some(nearest) => format!("Did you mean {nearest}?"),
            None if schema.properties.is_empty() => "Remove it".to_owned(),
            None => format!("Known here: {}", listed(known())),
        };
        self.add(at, Reason::UnknownField, format!("unknown field {name:?}"), mend);
    }

    fn sequence(&mut self, schema: &Schema, items: &[Node<'_>], at: Position) -> Option<Value> {
        self.count(items.len(), schema.limits.min_items, schema.limits.max_items, at)?;
        let any = Schema::preserving();
        let item_schema = schema.items.as_deref().unwrap_or(any);
        let before = self.path.len();
        let found = self.problems.len();
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push_index(index);
            match &item.value {
                NodeValue::Null if item_schema.nullable => out.push(Value::Null),
                _ => out.extend(self.check(item_schema, item, item.at)),
            }
            self.path.truncate(before);
        }
        if self.problems.len() != found {
            return None;
        }
        self.list_keys(schema, items, &out);
        (self.problems.len() == found).then_some(Value::Array(out))
    }

    /// `x-kubernetes-list-type`: entries of a set, and the keys of a map's entries, occur once.
    fn list_keys(&mut self, schema: &Schema, items: &[Node<'_>], values: &[Value]) {
        let keys: &[Box<str>] = match &schema.list {
            ListType::Atomic => return,
            ListType::Set => &[],
            ListType::Map(keys) => keys,
        };
        let mut seen = HashSet::with_capacity(values.len());
        let before = self.path.len();
        for (index, (item, value)) in items.iter().zip(values).enumerate() {
            let identity = if keys.is_empty() {
                value.to_string()
            } else {
                let parts: Vec<String> = keys
                    .iter()
                    .map(|key| format!("{key} {}", value.get(&**key).unwrap_or(&Value::Null)))
                    .collect();
                parts.join(", ")
            };
            if seen.contains(&identity) {
                self.path.push_index(index);
                self.add(
                    item.at,
                    Reason::Duplicate,
                    format!("an earlier entry has the same {identity}"),
                    "Remove or change one of the two",
                );
                self.path.truncate(before);
            } else {
                seen.insert(identity);
            }
        }
    }
}

enum Outcome {
    Good,
    Failed,
}

impl Outcome {
    fn put(value: Option<Value>, name: &str, out: &mut Map<String, Value>) -> Self {
        match value {
            Some(value) => {
                out.insert(name.to_owned(), value);
                Self::Good
            }
            None => Self::Failed,
        }
    }
}

/// The first names, and how many more there are.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = names.collect();
    match names.get(..SHOWN) {
        Some(shown) if names.len() > SHOWN => {
            format!("{} and {} more", shown.join(", "), names.len() - SHOWN)
        }
        _ => names.join(", "),
    }
}

/// A text for a message: quoted, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
