//! The matches of one host pattern. The IR's order decides; the index only leaves out what cannot match.
//! Performance-critical path.

use std::sync::Arc;

use super::matches::CompiledMatch;
use super::paths::PathIndex;
use super::rule::CompiledRule;
use super::table::{Facts, Routed};

/// The matches of one host pattern, in the order of the IR.
#[derive(Debug)]
pub(crate) struct HostRoutes {
    entries: Box<[Entry]>,
    /// None: there are so few that a scan is the faster way.
    index: Option<PathIndex>,
}

/// One way into a rule.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) when: CompiledMatch,
    pub(crate) rule: Arc<CompiledRule>,
}

/// Up to this many entries are scanned.
const SCAN: usize = 6;

impl HostRoutes {
    pub(super) fn new(entries: Box<[Entry]>) -> Self {
        let index = (entries.len() > SCAN).then(|| PathIndex::new(&entries));
        Self { entries, index }
    }

    pub(crate) fn route<'t>(&'t self, facts: &Facts<'_>) -> Option<Routed<'t>> {
        match &self.index {
            None => self.entries.iter().zip(0..).find_map(|(entry, order)| entry.route(order, facts)),
            Some(index) => index.first(&self.entries, facts),
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    pub(super) fn route<'t>(&'t self, order: u32, facts: &Facts<'_>) -> Option<Routed<'t>> {
        let prefix = self.when.check(facts).ok()?;
        Some(Routed { rule: &self.rule, prefix, parameters: self.when.parameters, order })
    }
}
