//! Compiled conditions, and the one function that checks them.
//! Performance-critical path.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use regex::Regex;

use super::query;
use super::table::Facts;

/// Conditions on a request; all must hold.
#[derive(Debug)]
pub struct CompiledMatch {
    pub(super) path: CompiledPath,
    pub(super) method: Option<Method>,
    pub(super) headers: Box<[(HeaderName, CompiledValue)]>,
    pub(super) query: Box<[(Arc<str>, CompiledValue)]>,
    /// Whether the path condition names `;`.
    pub(super) parameters: bool,
}

/// A condition on the path.
#[derive(Debug)]
pub enum CompiledPath {
    /// There is none.
    Any,
    /// The whole path.
    Exact(Arc<str>),
    /// By path segment, without a trailing slash; empty for `/`.
    Segment(Arc<str>),
    /// By string.
    String(Arc<str>),
    /// The whole path.
    Regex {
        /// The expression.
        regex: Regex,
        /// The literal text that whatever it matches begins with.
        head: Arc<str>,
    },
}

/// A condition on a text.
#[derive(Debug)]
pub enum CompiledValue {
    /// Equal.
    Exact(Arc<str>),
    /// Starts with.
    Prefix(Arc<str>),
    /// The whole text.
    Regex(Regex),
    /// Present with any value.
    Present,
}

/// The first condition that does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unmet {
    /// The path.
    Path,
    /// The method.
    Method,
    /// The header condition of this index.
    Header(usize),
    /// The query condition of this index.
    Query(usize),
}

impl CompiledMatch {
    /// Whether all conditions hold; then the bytes of the path that a prefix matched, if it was one.
    pub fn check(&self, facts: &Facts<'_>) -> Result<Option<usize>, Unmet> {
        let prefix = self.path.check(facts.path).ok_or(Unmet::Path)?;
        if self.method.as_ref().is_some_and(|method| method != facts.method) {
            return Err(Unmet::Method);
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            if !joined(facts.headers, name).is_some_and(|text| value.holds(&text)) {
                return Err(Unmet::Header(index));
            }
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            let found = facts.query.and_then(|query| query::first(query, name));
            if !found.is_some_and(|text| value.holds(&text)) {
                return Err(Unmet::Query(index));
            }
        }
        Ok(prefix)
    }
}

impl CompiledPath {
    fn check(&self, path: &str) -> Option<Option<usize>> {
        match self {
            Self::Any => Some(None),
            Self::Exact(whole) => (**whole == *path).then_some(None),
            Self::Segment(prefix) => {
                let rest = path.strip_prefix(&**prefix)?;
                let at_boundary = prefix.is_empty() || rest.is_empty() || rest.starts_with('/');
                at_boundary.then_some(Some(prefix.len()))
            }
            Self::String(prefix) => path.starts_with(&**prefix).then_some(Some(prefix.len())),
            Self::Regex { regex, .. } => regex.is_match(path).then_some(None),
        }
    }
}

impl CompiledValue {
    /// A text that is not UTF-8 matches no regular expression; there are only positive conditions on routes, so
    /// that opens nothing.
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(whole) => whole.as_bytes() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Regex(regex) => std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
            Self::Present => true,
        }
    }
}

/// All fields of a name as one value, joined by `,` (RFC 9110 §5.3). Only several fields cost an allocation.
pub(super) fn joined<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, [u8]>> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next()?.as_bytes();
    let Some(second) = fields.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut all = first.to_vec();
    for field in std::iter::once(second).chain(fields) {
        all.push(b',');
        all.extend_from_slice(field.as_bytes());
    }
    Some(Cow::Owned(all))
}
