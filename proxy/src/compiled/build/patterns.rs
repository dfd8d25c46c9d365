//! Regular expressions of one table, each compiled once: compiling costs a hundred times what anything else in a
//! build does.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Match, PathMatch, ValueMatch};
use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};

use crate::compiled::CompiledTable;
use crate::compiled::matches::{CompiledMatch, CompiledPath, CompiledValue};

/// Expressions by their text.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    regexes: HashMap<Arc<str>, Regex>,
    /// The literal heads of those that stand for paths.
    heads: HashMap<Arc<str>, Arc<str>>,
}

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
        if let Some(known) = self.regexes.get(pattern) {
            return Ok(known.clone());
        }
        let regex = model::full_match(pattern).map_err(|error| error.to_string())?;
        self.regexes.insert(Arc::clone(pattern), regex.clone());
        Ok(regex)
    }

    /// Compiles an expression for paths, with what it must begin with for the index.
    pub(super) fn path(&mut self, pattern: &Arc<str>) -> Result<CompiledPath, String> {
        let regex = self.compile(pattern)?;
        let head = self.heads.entry(Arc::clone(pattern)).or_insert_with(|| literal_head(pattern).into());
        Ok(CompiledPath::Regex { regex, head: Arc::clone(head) })
    }

    fn note(&mut self, written: &Match, compiled: &CompiledMatch) {
        if let (Some(PathMatch::Regex(pattern)), CompiledPath::Regex { regex, head }) =
            (&written.path, &compiled.path)
        {
            self.regexes.insert(Arc::clone(pattern), regex.clone());
            self.heads.insert(Arc::clone(pattern), Arc::clone(head));
        }
        let headers =
            written.headers.iter().map(|header| &header.value).zip(compiled.headers.iter().map(|(_, v)| v));
        let query = written.query.iter().map(|query| &query.value).zip(compiled.query.iter().map(|(_, v)| v));
        for pair in headers.chain(query) {
            if let (ValueMatch::Regex(pattern), CompiledValue::Regex(regex)) = pair {
                self.regexes.insert(Arc::clone(pattern), regex.clone());
            }
        }
    }
}

/// The text that every full match of the expression begins with.
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
            (r"/users/[0-9]+", "/users/"),
            (r"/a/b", "/a/b"),
            (r"/a|/b", ""),
            (r"/ab?c", "/a"),
            (r"(?i)/a", "/"),
            (r"(/v1)/x.*", "/v1/x"),
            (r".*", ""),
            (r"/ä[öü]", "/ä"),
        ] {
            assert_eq!(literal_head(pattern), head, "{pattern}");
        }
    }
}
