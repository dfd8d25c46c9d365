//! Tables keyed by host pattern: a lookup costs the labels of the host, never the number of patterns.
//! Performance-critical path.

use std::collections::HashMap;
use std::sync::Arc;

use model::HostPattern;

/// Values by host pattern, found most specific pattern first.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    exact: HashMap<Arc<str>, T, ahash::RandomState>,
    /// By the suffix below `*.`.
    wildcard: HashMap<Arc<str>, T, ahash::RandomState>,
    any: Option<T>,
}

impl<T> HostTable<T> {
    /// The value of the most specific pattern that matches `host` (canonical; empty where there is none).
    pub fn find(&self, host: &str) -> Option<&T> {
        self.matches(host).next()
    }

    /// The values of all patterns that match `host`, most specific pattern first.
    pub fn matches<'t, 'h>(&'t self, host: &'h str) -> HostMatches<'t, 'h, T> {
        HostMatches { table: self, host, step: Step::Exact }
    }

    /// The value of just this pattern.
    pub fn get(&self, pattern: &HostPattern) -> Option<&T> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix),
            HostPattern::Any => self.any.as_ref(),
        }
    }

    /// All patterns and their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (HostPattern, &T)> {
        let exact = self.exact.iter().map(|(name, value)| (HostPattern::Exact(name.clone()), value));
        let wildcard = self.wildcard.iter().map(|(name, value)| (HostPattern::Wildcard(name.clone()), value));
        exact.chain(wildcard).chain(self.any.iter().map(|value| (HostPattern::Any, value)))
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len() + usize::from(self.any.is_some())
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: HashMap::default(), any: None }
    }
}

impl<T> FromIterator<(HostPattern, T)> for HostTable<T> {
    fn from_iter<I: IntoIterator<Item = (HostPattern, T)>>(entries: I) -> Self {
        let mut table = Self::default();
        for (pattern, value) in entries {
            match pattern {
                HostPattern::Exact(name) => drop(table.exact.insert(name, value)),
                HostPattern::Wildcard(suffix) => drop(table.wildcard.insert(suffix, value)),
                HostPattern::Any => table.any = Some(value),
            }
        }
        table
    }
}

/// Walks the patterns that match one host; see [`HostTable::matches`].
#[derive(Debug)]
pub struct HostMatches<'t, 'h, T> {
    table: &'t HostTable<T>,
    /// What is left of the host: suffixes of it are still to be looked up.
    host: &'h str,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Exact,
    Wildcard,
    Any,
    Done,
}

impl<'t, T> Iterator for HostMatches<'t, '_, T> {
    type Item = &'t T;

    fn next(&mut self) -> Option<&'t T> {
        loop {
            match self.step {
                Step::Exact => {
                    // A wildcard stands for a label, and an empty one is none.
                    let skip_wildcards = self.table.wildcard.is_empty() || self.host.starts_with('.');
                    self.step = if skip_wildcards { Step::Any } else { Step::Wildcard };
                    if let Some(value) = self.table.exact.get(self.host) {
                        return Some(value);
                    }
                }
                Step::Wildcard => match self.next_suffix() {
                    Some(suffix) => {
                        if let Some(value) = self.table.wildcard.get(suffix) {
                            return Some(value);
                        }
                    }
                    None => self.step = Step::Any,
                },
                Step::Any => {
                    self.step = Step::Done;
                    return self.table.any.as_ref();
                }
                Step::Done => return None,
            }
        }
    }
}

impl<'h, T> HostMatches<'_, 'h, T> {
    /// Takes a label off the host, as `*.` stands for at least one.
    fn next_suffix(&mut self) -> Option<&'h str> {
        let (_, suffix) = self.host.split_once('.')?;
        self.host = suffix;
        Some(suffix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(patterns: &[&str]) -> HostTable<String> {
        patterns.iter().map(|text| (text.parse().unwrap(), (*text).to_owned())).collect()
    }

    #[test]
    fn patterns_come_most_specific_first() {
        let table = table(&["*", "*.com", "*.example.com", "a.example.com"]);
        let all = |host| table.matches(host).map(String::as_str).collect::<Vec<_>>();
        assert_eq!(all("a.example.com"), ["a.example.com", "*.example.com", "*.com", "*"]);
        assert_eq!(all("b.a.example.com"), ["*.example.com", "*.com", "*"]);
        assert_eq!(all("example.com"), ["*.com", "*"]);
        assert_eq!(all("com"), ["*"]);
        assert_eq!(all(""), ["*"]);
    }

    #[test]
    fn a_table_without_catch_all_knows_no_stranger() {
        let table = table(&["*.example.com", "example.org"]);
        assert_eq!(table.find("example.com"), None);
        assert_eq!(table.find("www.example.org"), None);
        assert_eq!(table.find("badexample.com"), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.get(&"*.example.com".parse().unwrap()).map(String::as_str), Some("*.example.com"));
    }

    proptest! {
        /// The oracle is the plain reading: the patterns that match, in the order of `HostPattern`.
        #[test]
        fn lookup_agrees_with_a_scan(
            patterns in prop::collection::btree_set("(\\*\\.)?([ab]\\.){0,3}[ab]|\\*", 0..12),
            host in "([ab]\\.){0,4}[ab]?",
        ) {
            let mut parsed: Vec<HostPattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
            parsed.sort();
            parsed.dedup();
            let table: HostTable<HostPattern> = parsed.iter().map(|p| (p.clone(), p.clone())).collect();
            let expected: Vec<_> = parsed.iter().filter(|pattern| pattern.matches(&host)).collect();
            prop_assert_eq!(table.matches(&host).collect::<Vec<_>>(), expected);
        }
    }
}
