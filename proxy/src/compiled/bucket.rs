//! Entries that share a path key, split further by header and query values where there are many.
//! Performance-critical path.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;

use super::matches::{CompiledMatch, CompiledValue, joined};
use super::query;
use super::routes::Entry;
use super::table::{Facts, Routed};

/// Entries by order. Small where it is one entry or none, as it is mostly: tables of many routes have many.
#[derive(Debug, Default)]
pub(super) enum Bucket {
    #[default]
    Empty,
    One(u32),
    Many(Box<Many>),
}

#[derive(Debug)]
pub(super) struct Many {
    /// Ascending; looked through one by one.
    scan: Box<[u32]>,
    keyed: Box<[Keyed]>,
}

/// Entries that ask for an exact value of the same header or query parameter.
#[derive(Debug)]
struct Keyed {
    by: KeyedBy,
    values: HashMap<Arc<str>, Bucket, ahash::RandomState>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum KeyedBy {
    Header(HeaderName),
    Query(Arc<str>),
}

/// The match of lowest order so far.
#[derive(Debug, Default)]
pub(super) struct Best<'t> {
    pub(super) routed: Option<Routed<'t>>,
}

/// Up to this many entries are scanned.
const SCAN: usize = 8;

impl Bucket {
    /// `orders` is ascending.
    pub(super) fn new(entries: &[Entry], orders: Vec<u32>) -> Self {
        Self::split(entries, orders, &mut Vec::new())
    }

    /// Keys by the condition that most entries have, then the rest by the next one, until a scan is short enough
    /// or nothing is left to key by. `used` are the conditions that all `orders` agree on already.
    fn split(entries: &[Entry], mut scan: Vec<u32>, used: &mut Vec<KeyedBy>) -> Self {
        let mut keyed = Vec::new();
        while scan.len() > SCAN {
            let Some(by) = most_common(entries, &scan, used) else { break };
            let mut values: HashMap<Arc<str>, Vec<u32>, ahash::RandomState> = HashMap::default();
            scan.retain(|order| {
                let value = when(entries, *order).and_then(|when| by.wanted(when));
                value.map(|value| values.entry(value.clone()).or_default().push(*order)).is_none()
            });
            used.push(by.clone());
            let values = values
                .into_iter()
                .map(|(value, orders)| (value, Self::split(entries, orders, used)))
                .collect();
            used.pop();
            keyed.push(Keyed { by, values });
        }
        match (scan.as_slice(), keyed.is_empty()) {
            ([], true) => Self::Empty,
            ([order], true) => Self::One(*order),
            _ => Self::Many(Box::new(Many { scan: scan.into(), keyed: keyed.into() })),
        }
    }

    /// Improves `best` by the first entry of the bucket that matches.
    pub(super) fn first<'t>(&self, entries: &'t [Entry], facts: &Facts<'_>, best: &mut Best<'t>) {
        let (scan, keyed): (&[u32], &[Keyed]) = match self {
            Self::Empty => return,
            Self::One(order) => (std::slice::from_ref(order), &[]),
            Self::Many(many) => (&many.scan, &many.keyed),
        };
        for order in scan {
            if best.routed.is_some_and(|best| best.order <= *order) {
                break;
            }
            if let Some(routed) = entries.get(*order as usize).and_then(|entry| entry.route(*order, facts)) {
                best.routed = Some(routed);
                break;
            }
        }
        for keyed in keyed {
            if let Some(bucket) = keyed.lookup(facts) {
                bucket.first(entries, facts, best);
            }
        }
    }
}

impl Keyed {
    fn lookup(&self, facts: &Facts<'_>) -> Option<&Bucket> {
        let value = match &self.by {
            KeyedBy::Header(name) => joined(facts.headers, name)?,
            KeyedBy::Query(name) => query::first(facts.query?, name)?,
        };
        // Wanted values are UTF-8, so that anything else is none of them.
        self.values.get(std::str::from_utf8(&value).ok()?)
    }
}

impl KeyedBy {
    /// The exact value that a match wants of this header or parameter.
    fn wanted<'m>(&self, when: &'m CompiledMatch) -> Option<&'m Arc<str>> {
        match self {
            Self::Header(name) => {
                when.headers.iter().filter(|(wanted, _)| wanted == name).find_map(|(_, value)| exact(value))
            }
            Self::Query(name) => {
                when.query.iter().filter(|(wanted, _)| wanted == name).find_map(|(_, value)| exact(value))
            }
        }
    }
}

fn exact(value: &CompiledValue) -> Option<&Arc<str>> {
    match value {
        CompiledValue::Exact(text) => Some(text),
        CompiledValue::Prefix(_) | CompiledValue::Regex(_) | CompiledValue::Present => None,
    }
}

fn when(entries: &[Entry], order: u32) -> Option<&CompiledMatch> {
    entries.get(order as usize).map(|entry| &entry.when)
}

/// The header or parameter that most entries want an exact value of; none if fewer than a scan's worth do.
fn most_common(entries: &[Entry], orders: &[u32], used: &[KeyedBy]) -> Option<KeyedBy> {
    let mut counts: HashMap<KeyedBy, usize> = HashMap::new();
    for when in orders.iter().filter_map(|order| when(entries, *order)) {
        let headers = when.headers.iter().filter(|(_, value)| exact(value).is_some());
        let query = when.query.iter().filter(|(_, value)| exact(value).is_some());
        let keys = headers
            .map(|(name, _)| KeyedBy::Header(name.clone()))
            .chain(query.map(|(name, _)| KeyedBy::Query(name.clone())));
        keys.for_each(|key| *counts.entry(key).or_default() += 1);
    }
    let candidates = counts.into_iter().filter(|(key, count)| *count > SCAN && !used.contains(key));
    candidates.max_by_key(|(_, count)| *count).map(|(key, _)| key)
}
