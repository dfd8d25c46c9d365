//! From text to objects: finds the objects of a source, and what kind each is, and puts each through its checks.

use std::sync::Arc;

use serde_json::Value;

use super::kinds::{self, Kind, Loaded, Lookup};
use super::lines::LineMap;
use super::node::{Node, NodeKey, NodeValue, Position};
use super::problem::{DecodeProblem, Reason, Severity};
use super::schema::Schema;
use super::structure::Report;
use super::{kubernetes, metadata, rules, yaml};
use crate::object::{AnyObject, FromValueError, ObjectKey, split_api_version};
use crate::own;

/// Largest object, as JSON, in bytes: what an API server takes as a request.
const MAX_OBJECT: usize = 3 << 20;

/// One object of a source, good or bad.
#[derive(Clone, Debug)]
pub struct Document {
    /// Name of the source, as given to [`decode`].
    pub source: Arc<str>,
    /// Line (from 1) at which the object begins.
    pub line: u32,
    /// What the object says that it is, known even of a bad one where it could be read.
    pub hints: Hints,
    /// The object, or all that is wrong with it (at least one entry, in the order of lines).
    pub result: Result<Decoded, Vec<DecodeProblem>>,
}

/// What an object says that it is. Unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata.namespace`, if written.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: Option<String>,
}

/// An object that its kind's schema and rules take, defaults filled in.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object.
    pub object: AnyObject,
    /// Where its fields were written.
    pub lines: LineMap,
}

impl Decoded {
    /// Group, kind, namespace and name.
    pub fn key(&self) -> ObjectKey {
        self.object.key()
    }

    /// Line (from 1) of the field at `path`, such as `spec.rules[0].name`, or of the nearest field around it.
    pub fn line_of(&self, path: &str) -> Option<u32> {
        self.lines.line_of(path)
    }
}

/// Decodes every object of `text`: YAML documents, JSON values, and the entries of lists. `source_name` is for messages.
pub fn decode(source_name: &str, text: &str) -> Vec<Document> {
    let mut decoder = Decoder { source: source_name.into(), documents: Vec::new() };
    for parsed in yaml::read(text) {
        match parsed.result {
            Ok(node) => decoder.document(node, None),
            Err(unreadable) => {
                let hints = unreadable.partial.as_ref().map(hints).unwrap_or_default();
                let line = unreadable.partial.as_ref().map_or(unreadable.problem.line, |node| node.at.line);
                decoder.push(line, hints, Err(vec![unreadable.problem]));
            }
        }
    }
    decoder.documents
}

struct Decoder {
    source: Arc<str>,
    documents: Vec<Document>,
}

impl Decoder {
    /// Takes one document: an object, or a list of them. `item_kind` is what a list says of its entries.
    fn document(&mut self, mut node: Node<'_>, item_kind: Option<(&str, &str)>) {
        if let Some((api_version, kind)) = item_kind {
            add_kind(&mut node, api_version, kind);
        }
        let hints = hints(&node);
        match (&node.value, hints.kind.as_deref()) {
            (NodeValue::Null, _) => {}
            (NodeValue::Mapping(_), Some(kind)) if is_list(kind, hints.api_version.as_deref()) => {
                self.list(node, hints)
            }
            (NodeValue::Mapping(_), _) => {
                let line = node.at.line;
                let result = object(node, &hints);
                self.push(line, hints, result);
            }
            _ => {
                let mut report = Report::default();
                report.add(
                    node.at,
                    Reason::WrongType,
                    format!("an object must be a mapping, is {}", node.type_name()),
                    "",
                );
                self.push(node.at.line, hints, Err(report.problems));
            }
        }
    }

    fn list(&mut self, node: Node<'_>, hints: Hints) {
        let at = node.at;
        let NodeValue::Mapping(entries) = node.value else { return };
        let items = entries.into_iter().find(|(key, _)| key.name == "items").map(|(_, node)| node);
        match items {
            Some(Node { value: NodeValue::Sequence(items), .. }) => {
                let kind = hints
                    .kind
                    .as_deref()
                    .and_then(|kind| kind.strip_suffix("List"))
                    .filter(|kind| !kind.is_empty());
                let item_kind = hints.api_version.as_deref().zip(kind);
                for item in items {
                    self.document(item, item_kind);
                }
            }
            // An empty list is written as null by some clients.
            Some(Node { value: NodeValue::Null, .. }) | None => {}
            Some(other) => {
                let mut report = Report::default();
                report.path.push_key("items");
                report.add(
                    other.at,
                    Reason::WrongType,
                    format!("must be a list, is {}", other.type_name()),
                    "",
                );
                self.push(at.line, hints, Err(report.problems));
            }
        }
    }

    fn push(&mut self, line: u32, hints: Hints, result: Result<Decoded, Vec<DecodeProblem>>) {
        self.documents.push(Document { source: Arc::clone(&self.source), line, hints, result });
    }
}

fn hints(node: &Node<'_>) -> Hints {
    let text = |node: Option<&Node<'_>>| node.and_then(Node::as_str).map(str::to_owned);
    let metadata = node.field("metadata");
    Hints {
        api_version: text(node.field("apiVersion")),
        kind: text(node.field("kind")),
        namespace: text(metadata.and_then(|metadata| metadata.field("namespace"))),
        name: text(metadata.and_then(|metadata| metadata.field("name"))),
    }
}

/// `List`, and `HTTPRouteList` of the kinds that are read.
fn is_list(kind: &str, api_version: Option<&str>) -> bool {
    match kind.strip_suffix("List") {
        Some("") => true,
        Some(item) => !matches!(kinds::find(api_version.unwrap_or_default(), item), Lookup::Unknown { .. }),
        None => false,
    }
}

/// Entries of a typed list need not repeat what they are.
fn add_kind(node: &mut Node<'_>, api_version: &str, kind: &str) {
    let at = node.at;
    for (name, text) in [("apiVersion", api_version), ("kind", kind)] {
        if node.field(name).is_none()
            && let NodeValue::Mapping(entries) = &mut node.value
        {
            let key = NodeKey { name: name.into(), at, duplicate: false };
            entries.push((key, Node { value: NodeValue::String(text.to_owned().into()), at }));
        }
    }
}

fn object(node: Node<'_>, hints: &Hints) -> Result<Decoded, Vec<DecodeProblem>> {
    let at = node.at;
    let weight = node.weight();
    if weight > MAX_OBJECT {
        return Err(one(
            at,
            "",
            Reason::TooLarge,
            format!("the object is {weight} bytes large: at most {MAX_OBJECT}"),
            "",
        ));
    }
    let (kind, loaded, schema) = known_kind(&node, hints)?;
    let NodeValue::Mapping(entries) = node.value else { return Err(Vec::new()) };
    let mut report = Report::default();
    let value = checked(&mut report, kind, loaded, &schema, entries, at);
    report.problems.iter_mut().for_each(|problem| name_later_field(kind, problem));
    report.problems.sort_by_key(|problem| (problem.line, problem.column));
    match value {
        Some(value) if report.problems.is_empty() => typed(value, report.lines, at),
        _ => Err(report.problems),
    }
}

/// All checks of one object, in the order in which each may rely on those before.
fn checked(
    report: &mut Report,
    kind: &'static Kind,
    loaded: &Loaded,
    schema: &Schema,
    entries: Vec<(NodeKey<'_>, Node<'_>)>,
    at: Position,
) -> Option<Value> {
    let status_is_data = kind.is_core();
    let (envelope, fields): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| match &*key.name {
        "apiVersion" | "kind" | "metadata" => true,
        "status" => !status_is_data,
        _ => false,
    });
    let metadata_node =
        envelope.iter().find(|(key, _)| key.name == "metadata").map(|(key, node)| (node, key.at));
    let metadata = metadata::structure(report, metadata_node, at);
    report.envelope(&envelope);
    let fields = Node { value: NodeValue::Mapping(fields), at };
    let value = report.check(schema, &fields, at);
    report.lines.finish();
    let mut metadata = metadata?;
    metadata::values(report, kind, loaded.namespaced, &mut metadata);
    let Some(Value::Object(mut value)) = value else { return None };
    value.insert("metadata".to_owned(), Value::Object(metadata));
    value.insert("apiVersion".to_owned(), kind.read_api_version(loaded).into());
    value.insert("kind".to_owned(), kind.name.into());
    if kind.is_core() {
        kubernetes::check(report, kind, &mut value);
    }
    let value = Value::Object(value);
    if report.problems.is_empty() {
        rules::check(report, schema, &value);
    }
    Some(value)
}

/// The last step: what a schema cannot say, such as that a text is a range of addresses, the field's own type may still refuse.
fn typed(value: Value, lines: LineMap, object: Position) -> Result<Decoded, Vec<DecodeProblem>> {
    match AnyObject::from_value(value) {
        Ok(object) => Ok(Decoded { object, lines }),
        Err(FromValueError::Shape { path, source, .. }) => {
            let at = lines.position_of(&path).unwrap_or(object);
            Err(one(at, &path, Reason::Pattern, source.to_string(), ""))
        }
        Err(error) => Err(one(object, "", Reason::UnknownKind, error.to_string(), "")),
    }
}

/// A field that is not implemented yet is refused as such, not as a mistyped one.
fn name_later_field(kind: &Kind, problem: &mut DecodeProblem) {
    if kind.group == own::GROUP
        && problem.reason == Reason::UnknownField
        && let Some(later) = own::later_field(kind.name, &problem.path)
    {
        problem.reason = Reason::NotImplemented;
        later.message.clone_into(&mut problem.message);
        later.mend.clone_into(&mut problem.mend);
    }
}

type KnownKind = (&'static Kind, &'static Loaded, Arc<Schema>);

fn known_kind(node: &Node<'_>, hints: &Hints) -> Result<KnownKind, Vec<DecodeProblem>> {
    let place = |field: &str| node.field(field).map_or(node.at, |node| node.at);
    for (field, hint) in [("apiVersion", &hints.api_version), ("kind", &hints.kind)] {
        if hint.as_ref().is_none_or(String::is_empty) {
            let mend = "Every object says its apiVersion and kind";
            return Err(one(
                place(field),
                field,
                Reason::UnknownKind,
                "is required, and must be a string".to_owned(),
                mend,
            ));
        }
    }
    let api_version = hints.api_version.as_deref().unwrap_or_default();
    let kind = hints.kind.as_deref().unwrap_or_default();
    match kinds::find(api_version, kind) {
        Lookup::Known { kind, loaded, schema } => Ok((kind, loaded, schema)),
        Lookup::OtherVersion { served } => {
            let message = format!("{kind} is not served as {api_version}");
            Err(one(
                place("apiVersion"),
                "apiVersion",
                Reason::UnknownVersion,
                message,
                &format!("Write {}", served.join(" or ")),
            ))
        }
        Lookup::Unknown { .. } if let Some(later) = later_kind(api_version, kind) => {
            let at = place("kind");
            Err(one(at, "kind", Reason::NotImplemented, later.message.to_owned(), later.mend))
        }
        Lookup::Unknown { ours, nearest } => {
            let message = format!("{kind} ({api_version}) is not a kind that Diolkos reads");
            let mend = nearest.map(|nearest| format!("Did you mean {nearest}?")).unwrap_or_default();
            let mut problems = one(place("kind"), "kind", Reason::UnknownKind, message, &mend);
            if !ours {
                problems.iter_mut().for_each(|problem| problem.severity = Severity::Notice);
            }
            Err(problems)
        }
    }
}

fn later_kind(api_version: &str, kind: &str) -> Option<&'static own::LaterKind> {
    own::later_kind(split_api_version(api_version).0, kind)
}

fn one(at: Position, path: &str, reason: Reason, message: String, mend: &str) -> Vec<DecodeProblem> {
    let mut report = Report::default();
    report.path.push_text(path);
    report.add(at, reason, message, mend);
    report.problems
}

#[cfg(test)]
mod tests;
