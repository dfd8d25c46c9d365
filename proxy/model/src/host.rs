//! Host patterns: what a listener or route says about the names it serves, and which pattern wins.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host that a listener or a route serves. Gateway API `Hostname`: lower case, no port, no trailing dot.
///
/// `Ord` is precedence, most specific first: exact names, then wildcards by descending length, then `Any`.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum HostPattern {
    /// Just this name.
    Exact(Arc<str>),
    /// `*.SUFFIX`: one or more labels before the suffix. Holds the suffix without `*.`.
    Wildcard(Arc<str>),
    /// Every host, also a missing one.
    Any,
}

/// A text that is not a host pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a host name: {reason}")]
pub struct HostError {
    text: String,
    reason: &'static str,
}

impl HostPattern {
    /// Whether `host` (canonical: lower case, no port, no trailing dot) matches.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => is_below(host, suffix),
            Self::Any => true,
        }
    }

    /// The narrower of the two where they overlap; none where no host matches both.
    /// Gateway API: intersection of listener and route hostnames.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, narrow) | (narrow, Self::Any) => Some(narrow.clone()),
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => {
                pattern.matches(name).then(|| Self::Exact(name.clone()))
            }
            (Self::Wildcard(a), Self::Wildcard(b)) if a == b || is_below(a, b) => Some(self.clone()),
            (Self::Wildcard(a), Self::Wildcard(b)) => is_below(b, a).then(|| other.clone()),
        }
    }

    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Exact(_) => (0, 0),
            Self::Wildcard(suffix) => (1, usize::MAX - suffix.len()),
            Self::Any => (2, 0),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Wildcard(text) => text,
            Self::Any => "",
        }
    }
}

/// Whether `host` is one or more labels below `suffix`.
fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')).is_some_and(|label| !label.is_empty())
}

impl Ord for HostPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.text().cmp(other.text()))
    }
}

impl PartialOrd for HostPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    /// Reads `*`, `*.example.com` or `www.example.com`; upper case is folded.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = |reason| HostError { text: text.to_owned(), reason };
        if text.is_empty() || text == "*" {
            return Ok(Self::Any);
        }
        let folded = text.to_ascii_lowercase();
        let (wildcard, name) = match folded.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, folded.as_str()),
        };
        if name.len() > 253 {
            return Err(error("longer than 253 characters"));
        }
        if name.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(error("a label is empty or longer than 63 characters"));
        }
        if name.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))) {
            return Err(error("only letters, digits, '-' and '.' are allowed, and '*.' in front"));
        }
        Ok(if wildcard { Self::Wildcard(name.into()) } else { Self::Exact(name.into()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn wildcard_matches_one_or_more_labels_but_not_the_suffix() {
        let wildcard = host("*.Example.com");
        assert!(wildcard.matches("a.example.com"));
        assert!(wildcard.matches("a.b.example.com"));
        assert!(!wildcard.matches("example.com"));
        assert!(!wildcard.matches("badexample.com"));
        assert!(!wildcard.matches(".example.com"));
    }

    #[test]
    fn most_specific_pattern_sorts_first() {
        let mut patterns: Vec<_> =
            ["*", "*.com", "b.example.com", "*.example.com", "a.example.com"].map(host).into();
        patterns.sort();
        let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a.example.com", "b.example.com", "*.example.com", "*.com", "*"]);
    }

    #[test]
    fn intersection_is_the_narrower_pattern() {
        for (a, b, both) in [
            ("*", "a.example.com", Some("a.example.com")),
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "*.a.example.com", Some("*.a.example.com")),
            ("*.example.com", "*.com", Some("*.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.org", None),
            ("a.example.com", "b.example.com", None),
        ] {
            let expected = both.map(host);
            assert_eq!(host(a).intersect(&host(b)), expected, "{a} and {b}");
            assert_eq!(host(b).intersect(&host(a)), expected, "{b} and {a}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["a..b", "*.", "a.*.b", "ex ample.com", "a/b", ".example.com", "example.com."] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}
