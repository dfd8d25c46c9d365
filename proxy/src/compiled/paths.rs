//! The path index of one host pattern: from a path to the entries that it may match.
//! Performance-critical path.
//!
//! Every entry has a key, a text that its paths begin with: an exact path, a prefix, the literal head of a
//! regular expression, or nothing. A path is cut at each length that any key of its kind has (for prefixes by
//! segment: only where a segment ends), and each cut is one hash lookup. Few lengths occur, however many keys.

use std::collections::HashMap;
use std::sync::Arc;

use super::bucket::{Best, Bucket};
use super::matches::CompiledPath;
use super::routes::Entry;
use super::table::{Facts, Routed};

#[derive(Debug)]
pub(super) struct PathIndex {
    keys: HashMap<Arc<str>, Key, ahash::RandomState>,
    segment_lengths: Lengths,
    /// Of heads and of prefixes by string, longest first.
    head_lengths: Box<[usize]>,
    /// Entries that any path may match.
    any: Bucket,
}

/// Entries of one key text.
#[derive(Debug, Default)]
struct Key {
    exact: Bucket,
    segment: Bucket,
    head: Bucket,
}

/// What the key of an entry says of its paths.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Kind {
    /// They are it.
    Exact,
    /// They are it or begin with it and a slash.
    Segment,
    /// They begin with it.
    Head,
}

impl PathIndex {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut orders: HashMap<(Arc<str>, Kind), Vec<u32>> = HashMap::new();
        for (entry, order) in entries.iter().zip(0..) {
            orders.entry(key(&entry.when.path)).or_default().push(order);
        }
        let any = orders.remove(&("".into(), Kind::Head)).unwrap_or_default();
        let mut index = Self {
            keys: HashMap::with_capacity_and_hasher(orders.len(), ahash::RandomState::default()),
            segment_lengths: Lengths::default(),
            head_lengths: Box::default(),
            any: Bucket::new(entries, any),
        };
        let mut head_lengths = Vec::new();
        for ((text, kind), orders) in orders {
            let length = text.len();
            let key = index.keys.entry(text).or_default();
            let bucket = match kind {
                Kind::Exact => &mut key.exact,
                Kind::Segment => {
                    index.segment_lengths.insert(length);
                    &mut key.segment
                }
                Kind::Head => {
                    head_lengths.push(length);
                    &mut key.head
                }
            };
            *bucket = Bucket::new(entries, orders);
        }
        head_lengths.sort_unstable_by(|a, b| b.cmp(a));
        head_lengths.dedup();
        index.head_lengths = head_lengths.into();
        index
    }

    /// The first entry in the order of the IR that matches.
    pub(super) fn first<'t>(&self, entries: &'t [Entry], facts: &Facts<'_>) -> Option<Routed<'t>> {
        let mut best = Best::default();
        let path = facts.path;
        if let Some(key) = self.keys.get(path) {
            key.exact.first(entries, facts, &mut best);
            key.segment.first(entries, facts, &mut best);
        }
        self.segments(path, |key| key.segment.first(entries, facts, &mut best));
        for length in &self.head_lengths {
            if let Some(key) = path.get(..*length).and_then(|head| self.keys.get(head)) {
                key.head.first(entries, facts, &mut best);
            }
        }
        self.any.first(entries, facts, &mut best);
        best.routed
    }

    /// Calls `visit` with the keys that `path` is below of, longest first.
    fn segments(&self, path: &str, mut visit: impl FnMut(&Key)) {
        let longest = self.segment_lengths.end();
        // The slash after a key of the greatest length is the last one that matters.
        let within = path.get(..=longest).unwrap_or(path);
        for (length, _) in within.rmatch_indices('/') {
            if self.segment_lengths.contains(length)
                && let Some(key) = path.get(..length).and_then(|head| self.keys.get(head))
            {
                visit(key);
            }
        }
    }
}

/// A set of key lengths.
#[derive(Debug, Default)]
struct Lengths(Vec<u64>);

impl Lengths {
    fn insert(&mut self, length: usize) {
        let word = length / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (length % 64);
        }
    }

    fn contains(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }

    /// No length in the set is greater.
    fn end(&self) -> usize {
        self.0.len() * 64
    }
}

fn key(path: &CompiledPath) -> (Arc<str>, Kind) {
    match path {
        CompiledPath::Any => ("".into(), Kind::Head),
        CompiledPath::Exact(whole) => (whole.clone(), Kind::Exact),
        // The prefix `/`: every path.
        CompiledPath::Segment(prefix) if prefix.is_empty() => ("".into(), Kind::Head),
        CompiledPath::Segment(prefix) => (prefix.clone(), Kind::Segment),
        CompiledPath::String(prefix) => (prefix.clone(), Kind::Head),
        CompiledPath::Regex { head, .. } => (head.clone(), Kind::Head),
    }
}
