//! The path index of one host pattern: from a path to the entries that it may match.
//! Performance-critical path.
//!
//! Every entry has a key, a text that its paths begin with: an exact path, a prefix, the literal head of a
//! regular expression, or nothing. Keys are sorted and each knows the longest other key that it begins with. The
//! keys that a path begins with are then one binary search and a walk upwards away, longest first.

use regex_syntax::hir::{Hir, HirKind};

use super::bucket::{Best, Bucket};
use super::matches::CompiledPath;
use super::routes::Entry;
use super::table::{Facts, Routed};

#[derive(Debug)]
pub(super) struct PathIndex {
    /// The texts of all keys, one after the other, for the sake of the cache.
    text: Box<str>,
    /// In the order of their texts.
    keys: Box<[Key]>,
}

#[derive(Debug)]
struct Key {
    start: u32,
    end: u32,
    /// Index of the longest other key that this one begins with.
    parent: Option<u32>,
    /// Entries whose whole path is this text.
    exact: Bucket,
    /// Entries whose paths begin with this text.
    below: Bucket,
}

impl PathIndex {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut sorted: Vec<(String, bool, u32)> = entries
            .iter()
            .zip(0_u32..)
            .map(|(entry, order)| {
                let (text, exact) = key(&entry.when.path);
                (text, exact, order)
            })
            .collect();
        sorted.sort();
        let mut text = String::new();
        let mut keys: Vec<Key> = Vec::new();
        // The keys that the current one begins with, longest last.
        let mut above: Vec<(String, u32)> = Vec::new();
        for group in sorted.chunk_by(|(a, ..), (b, ..)| a == b) {
            let Some((key, ..)) = group.first() else { continue };
            while above.last().is_some_and(|(prefix, _)| !key.starts_with(prefix.as_str())) {
                above.pop();
            }
            let orders = |wanted: bool| {
                group.iter().filter(move |(_, exact, _)| *exact == wanted).map(|(.., order)| *order)
            };
            let start = offset(text.len());
            text.push_str(key);
            let parent = above.last().map(|(_, index)| *index);
            above.push((key.clone(), offset(keys.len())));
            keys.push(Key {
                start,
                end: offset(text.len()),
                parent,
                exact: Bucket::new(entries, orders(true).collect()),
                below: Bucket::new(entries, orders(false).collect()),
            });
        }
        Self { text: text.into(), keys: keys.into() }
    }

    /// The first entry in the order of the IR that matches.
    pub(super) fn first<'t>(&self, entries: &'t [Entry], facts: &Facts<'_>) -> Option<Routed<'t>> {
        let path = facts.path.as_bytes();
        let mut best = Best::default();
        let mut next = self.longest(path);
        while let Some(key) = next {
            if key.len() == path.len() {
                key.exact.first(entries, facts, &mut best);
            }
            key.below.first(entries, facts, &mut best);
            next = self.parent(key);
        }
        best.routed
    }

    /// The longest key that `path` begins with.
    fn longest(&self, path: &[u8]) -> Option<&Key> {
        let after = self.keys.partition_point(|key| self.text(key) <= path);
        // What `path` begins with sorts before it, and whatever sorts in between begins with it as well: so the
        // last key before `path` is it, or begins with it.
        let mut key = self.keys.get(after.checked_sub(1)?)?;
        let common = self.text(key).iter().zip(path).take_while(|(a, b)| a == b).count();
        while key.len() > common {
            key = self.parent(key)?;
        }
        Some(key)
    }

    fn text(&self, key: &Key) -> &[u8] {
        self.text.as_bytes().get(key.start as usize..key.end as usize).unwrap_or_default()
    }

    fn parent(&self, key: &Key) -> Option<&Key> {
        self.keys.get(key.parent? as usize)
    }
}

impl Key {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

fn offset(value: usize) -> u32 {
    u32::try_from(value).expect("a snapshot of 4 GiB of paths does not fit a message")
}

/// What all paths of an entry begin with, and whether that is the whole path.
fn key(path: &CompiledPath) -> (String, bool) {
    match path {
        CompiledPath::Any => (String::new(), false),
        CompiledPath::Exact(whole) => (whole.to_string(), true),
        CompiledPath::Segment(prefix) => (prefix.to_string(), false),
        CompiledPath::String(prefix) => (prefix.to_string(), false),
        CompiledPath::Regex(regex) => (literal_head(regex.as_str()), false),
    }
}

/// The text that everything matched by a full-match expression begins with.
fn literal_head(pattern: &str) -> String {
    let mut head = Vec::new();
    if let Ok(hir) = regex_syntax::parse(pattern) {
        collect_head(&hir, &mut head);
    }
    // A head that ends within a character is cut there.
    let whole = head.utf8_chunks().next().map(|chunk| chunk.valid().to_owned());
    whole.unwrap_or_default()
}

/// Appends what `hir` begins with; true if that is all of `hir`, so that what follows it may be appended too.
fn collect_head(hir: &Hir, head: &mut Vec<u8>) -> bool {
    match hir.kind() {
        // Assertions hold no bytes. They may rule matches out, but a superset is all that is asked for.
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => {
            head.extend_from_slice(&literal.0);
            true
        }
        HirKind::Capture(capture) => collect_head(&capture.sub, head),
        HirKind::Concat(parts) => parts.iter().all(|part| collect_head(part, head)),
        HirKind::Class(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_expression_is_what_it_must_begin_with() {
        for (pattern, head) in [
            (r"\A(?:/users/[0-9]+)\z", "/users/"),
            (r"\A(?:/a/b)\z", "/a/b"),
            (r"\A(?:/a|/b)\z", ""),
            (r"\A(?:/ab?c)\z", "/a"),
            (r"\A(?:(?i)/a)\z", "/"),
            (r"\A(?:(/v1)/x.*)\z", "/v1/x"),
            (r"\A(?:.*)\z", ""),
            (r"\A(?:/ä[öü])\z", "/ä"),
        ] {
            assert_eq!(literal_head(pattern), head, "{pattern}");
        }
    }
}
