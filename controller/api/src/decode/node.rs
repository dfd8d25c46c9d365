//! The tree of a YAML document, in which every value and key knows where it stands.

use std::borrow::Cow;

/// Place in a source, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub(super) value: NodeValue<'t>,
    pub(super) at: Position,
}

/// What JSON can say: a YAML document that says more is refused while it is read.
#[derive(Clone, Debug)]
pub(super) enum NodeValue<'t> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Cow<'t, str>),
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<(NodeKey<'t>, Node<'t>)>),
}

/// Key of a mapping entry.
#[derive(Clone, Debug)]
pub(super) struct NodeKey<'t> {
    pub(super) name: Cow<'t, str>,
    pub(super) at: Position,
    /// Whether an earlier entry of the mapping has the same key.
    pub(super) duplicate: bool,
}

impl<'t> Node<'t> {
    /// The first value of `key`, if this is a mapping that has it.
    pub(super) fn field(&self, key: &str) -> Option<&Node<'t>> {
        let NodeValue::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.name == key).map(|(_, node)| node)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The type in the words of the JSON schema, with its article.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "null",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Int(_) => "an integer",
            NodeValue::Float(_) => "a number",
            NodeValue::String(_) => "a string",
            NodeValue::Sequence(_) => "a list",
            NodeValue::Mapping(_) => "a mapping",
        }
    }

    /// Size of the value as JSON, about: two bytes a value and the bytes of its texts.
    pub(super) fn weight(&self) -> usize {
        match &self.value {
            NodeValue::String(text) => 2 + text.len(),
            NodeValue::Sequence(items) => 2 + items.iter().map(Node::weight).sum::<usize>(),
            NodeValue::Mapping(entries) => {
                2 + entries.iter().map(|(key, node)| 2 + key.name.len() + node.weight()).sum::<usize>()
            }
            _ => 2,
        }
    }
}
