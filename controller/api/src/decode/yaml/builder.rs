//! Builds the tree of one document from the events of the parser.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, ScalarStyle, ScanError, Span, Tag};

use super::{Bounds, MAX_DEPTH, problem, small};
use crate::decode::lines::Path;
use crate::decode::node::{Node, NodeKey, NodeValue, Position};
use crate::decode::problem::{DecodeProblem, Reason};
use crate::decode::scalar;

/// From this many entries on, repeated keys are found by hashing.
const HASHED_FROM: usize = 16;

/// What an event leads to.
pub(super) enum Flow {
    More,
    Document,
    End,
}

/// A collection that is still open.
enum Frame<'t> {
    Sequence { items: Vec<Node<'t>>, at: Position, anchor: usize },
    Mapping { entries: Vec<(NodeKey<'t>, Node<'t>)>, key: Option<NodeKey<'t>>, at: Position, anchor: usize },
}

/// Builds the tree of one document from its events.
pub(super) struct Builder<'t, 'b> {
    start: Position,
    bounds: &'b Bounds,
    frames: Vec<Frame<'t>>,
    pub(super) root: Option<Node<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    nodes: usize,
    aliased: usize,
}

type Step<T> = Result<T, Box<DecodeProblem>>;

impl<'t, 'b> Builder<'t, 'b> {
    pub(super) fn new(start: Position, bounds: &'b Bounds) -> Self {
        Self { start, bounds, frames: Vec::new(), root: None, anchors: HashMap::new(), nodes: 0, aliased: 0 }
    }

    pub(super) fn take(&mut self, event: Event<'t>, span: Span) -> Step<Flow> {
        let at = self.position(&span.start);
        match event {
            Event::StreamEnd => return Ok(Flow::End),
            Event::DocumentEnd => return Ok(Flow::Document),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text, style, tag.as_deref(), at)?;
                self.put(Node { value, at }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at)?;
                self.open(Frame::Sequence { items: Vec::new(), at, anchor }, at)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at)?;
                self.open(Frame::Mapping { entries: Vec::new(), key: None, at, anchor }, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => self.alias(id, at)?,
            _ => {}
        }
        Ok(Flow::More)
    }

    fn open(&mut self, frame: Frame<'t>, at: Position) -> Step<()> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.problem(
                at,
                Reason::TooLarge,
                format!("nested deeper than {MAX_DEPTH} levels"),
                "",
            ));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Step<()> {
        match self.frames.pop() {
            Some(Frame::Sequence { items, at, anchor }) => {
                self.put(Node { value: NodeValue::Sequence(items), at }, anchor)
            }
            Some(Frame::Mapping { mut entries, at, anchor, .. }) => {
                self.merge(&mut entries)?;
                mark_duplicates(&mut entries);
                self.put(Node { value: NodeValue::Mapping(entries), at }, anchor)
            }
            None => Ok(()),
        }
    }

    /// Puts a finished value where it belongs: into the open collection, or as the document's root.
    fn put(&mut self, node: Node<'t>, anchor: usize) -> Step<()> {
        self.nodes += 1;
        if self.nodes > self.bounds.nodes {
            let message = format!("more than {} values in one document", self.bounds.nodes);
            return Err(self.problem(node.at, Reason::TooLarge, message, "Split it into several documents"));
        }
        if anchor != 0 {
            self.spend(&node, node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => match key_text(node.value) {
                    Some(name) => *key = Some(NodeKey { name, at: node.at, duplicate: false }),
                    None => return Err(self.problem(node.at, Reason::Syntax, "a key must be a string", "")),
                },
            },
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, at: Position) -> Step<()> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(self.problem(at, Reason::Syntax, "the alias stands inside of what it names", ""));
        };
        let node = node.clone();
        self.spend(&node, at)?;
        self.put(node, 0)
    }

    /// Counts a copied value against the bound that keeps aliases of aliases from growing without end.
    fn spend(&mut self, node: &Node<'t>, at: Position) -> Step<()> {
        self.aliased = self.aliased.saturating_add(node.weight());
        if self.aliased > self.bounds.aliased {
            let message = format!("anchors and aliases add more than {} bytes", self.bounds.aliased);
            return Err(self.problem(at, Reason::TooLarge, message, "Write the values out"));
        }
        Ok(())
    }

    /// YAML 1.1 merge keys (`<<: *base`), which Kubernetes' YAML library reads: an entry written in the mapping itself wins.
    fn merge(&self, entries: &mut Vec<(NodeKey<'t>, Node<'t>)>) -> Step<()> {
        while let Some(index) = entries.iter().position(|(key, _)| key.name == "<<") {
            let (key, node) = entries.remove(index);
            let sources = match node.value {
                NodeValue::Sequence(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let NodeValue::Mapping(merged) = source.value else {
                    let message = "a merge key (<<) must name a mapping or a list of mappings";
                    return Err(self.problem(key.at, Reason::Syntax, message, ""));
                };
                for (key, node) in merged {
                    if !entries.iter().any(|(known, _)| known.name == key.name) {
                        entries.push((key, node));
                    }
                }
            }
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> Step<NodeValue<'t>> {
        let not_finite = |_| {
            self.problem(
                at,
                Reason::Syntax,
                format!("{text:?} is a number that JSON cannot say"),
                "Put it in quotes",
            )
        };
        let Some(tag) = tag else {
            return match style {
                ScalarStyle::Plain => scalar::plain(text.clone()).map_err(not_finite),
                _ => Ok(NodeValue::String(text)),
            };
        };
        let name = tag.core_suffix();
        match name {
            Some("str" | "binary" | "timestamp") => return Ok(NodeValue::String(text)),
            Some("int" | "float" | "bool" | "null") => {}
            _ if tag.handle().is_empty() && tag.suffix() == "!" => return Ok(NodeValue::String(text)),
            _ => return Err(self.unknown_tag(tag, at)),
        }
        let value = scalar::plain(text.clone()).map_err(not_finite)?;
        match (name, &value) {
            (Some("int"), NodeValue::Int(_))
            | (Some("float"), NodeValue::Int(_) | NodeValue::Float(_))
            | (Some("bool"), NodeValue::Bool(_))
            | (Some("null"), NodeValue::Null) => Ok(value),
            _ => Err(self.problem(
                at,
                Reason::Syntax,
                format!("{text:?} is not what its tag {} says", tag.original()),
                "",
            )),
        }
    }

    fn collection_tag(&self, tag: Option<&Tag>, name: &str, at: Position) -> Step<()> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(name) => Err(self.unknown_tag(tag, at)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, at: Position) -> Box<DecodeProblem> {
        self.problem(
            at,
            Reason::Syntax,
            format!("the tag {} means nothing to Kubernetes", tag.original()),
            "Leave it out",
        )
    }

    pub(super) fn scan_problem(&self, error: &ScanError) -> Box<DecodeProblem> {
        let at = self.position(error.marker());
        self.problem(
            at,
            Reason::Syntax,
            format!("not YAML: {}", error.info()),
            "Check quotes and indentation from here upwards",
        )
    }

    fn problem(
        &self,
        at: Position,
        reason: Reason,
        message: impl Into<String>,
        mend: &str,
    ) -> Box<DecodeProblem> {
        Box::new(problem(at, self.path(), reason, message, mend))
    }

    fn path(&self) -> String {
        let mut path = Path::default();
        for frame in &self.frames {
            match frame {
                Frame::Sequence { items, .. } => path.push_index(items.len()),
                Frame::Mapping { key: Some(key), .. } => path.push_key(&key.name),
                Frame::Mapping { key: None, .. } => {}
            }
        }
        path.as_str().to_owned()
    }

    fn position(&self, marker: &Marker) -> Position {
        let (line, column) = (small(marker.line()), small(marker.col()).saturating_add(1));
        if line <= 1 {
            Position { line: self.start.line, column: self.start.column.saturating_add(column - 1) }
        } else {
            Position { line: self.start.line.saturating_add(line - 1), column }
        }
    }

    /// What was read before an error, with every open collection closed.
    pub(super) fn partial(mut self) -> Option<Node<'t>> {
        while let Some(frame) = self.frames.pop() {
            let node = match frame {
                Frame::Sequence { items, at, .. } => Node { value: NodeValue::Sequence(items), at },
                Frame::Mapping { entries, at, .. } => Node { value: NodeValue::Mapping(entries), at },
            };
            match self.frames.last_mut() {
                None => self.root = Some(node),
                Some(Frame::Sequence { items, .. }) => items.push(node),
                Some(Frame::Mapping { entries, key, .. }) => {
                    if let Some(key) = key.take() {
                        entries.push((key, node));
                    }
                }
            }
        }
        self.root
    }
}

/// Kubernetes takes numbers and booleans as keys, in their JSON spelling.
fn key_text(value: NodeValue<'_>) -> Option<Cow<'_, str>> {
    match value {
        NodeValue::String(text) => Some(text),
        NodeValue::Int(number) => Some(Cow::Owned(number.to_string())),
        NodeValue::Float(number) => Some(Cow::Owned(number.to_string())),
        NodeValue::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        _ => None,
    }
}

fn mark_duplicates(entries: &mut [(NodeKey<'_>, Node<'_>)]) {
    let repeated: Vec<usize> = if entries.len() < HASHED_FROM {
        let seen_before =
            |index: usize, name: &str| entries.iter().take(index).any(|(known, _)| known.name == name);
        entries
            .iter()
            .enumerate()
            .filter(|(index, (key, _))| seen_before(*index, &key.name))
            .map(|(index, _)| index)
            .collect()
    } else {
        let mut seen = HashSet::with_capacity(entries.len());
        entries
            .iter()
            .enumerate()
            .filter(|(_, (key, _))| !seen.insert(&*key.name))
            .map(|(index, _)| index)
            .collect()
    };
    for index in repeated {
        if let Some((key, _)) = entries.get_mut(index) {
            key.duplicate = true;
        }
    }
}
