//! Regular expressions of one table, each compiled once: compiling costs a hundred times what anything else in a
//! build does.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Match, PathMatch, ValueMatch};
use regex::Regex;

use crate::compiled::CompiledTable;
use crate::compiled::matches::{CompiledMatch, CompiledPath, CompiledValue};

/// Expressions by their text.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<Arc<str>, Regex>);

impl Patterns {
    /// Those that the previous generation of the table has compiled.
    pub(super) fn of(earlier: Option<&CompiledTable>) -> Self {
        let mut patterns = Self::default();
        let Some(earlier) = earlier else { return patterns };
        for (host, matches) in &earlier.source.hosts {
            let entries = earlier.hosts.get(host).map(|routes| routes.entries()).unwrap_or_default();
            for (written, entry) in matches.iter().zip(entries) {
                patterns.note(&written.when, &entry.when);
            }
        }
        patterns
    }

    /// Compiles an expression unless it is known.
    pub(super) fn compile(&mut self, pattern: &Arc<str>) -> Result<Regex, String> {
        if let Some(known) = self.0.get(pattern) {
            return Ok(known.clone());
        }
        let regex = model::full_match(pattern).map_err(|error| error.to_string())?;
        self.0.insert(Arc::clone(pattern), regex.clone());
        Ok(regex)
    }

    fn note(&mut self, written: &Match, compiled: &CompiledMatch) {
        if let (Some(PathMatch::Regex(pattern)), CompiledPath::Regex(regex)) = (&written.path, &compiled.path)
        {
            self.0.insert(Arc::clone(pattern), regex.clone());
        }
        let headers =
            written.headers.iter().map(|header| &header.value).zip(compiled.headers.iter().map(|(_, v)| v));
        let query = written.query.iter().map(|query| &query.value).zip(compiled.query.iter().map(|(_, v)| v));
        for pair in headers.chain(query) {
            if let (ValueMatch::Regex(pattern), CompiledValue::Regex(regex)) = pair {
                self.0.insert(Arc::clone(pattern), regex.clone());
            }
        }
    }
}
