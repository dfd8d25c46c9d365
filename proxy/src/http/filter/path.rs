//! New paths for rewrites and redirects.

use std::borrow::Cow;

use model::PathRewrite;

/// Where the new path comes from: the rule's match, and the canonical path that it matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matched<'a> {
    /// The canonical path.
    pub(crate) path: &'a str,
    /// Bytes of it that a prefix match matched.
    pub(crate) prefix: Option<usize>,
}

/// The new path, without a query.
///
/// A prefix is replaced by segment: `/xyz` and `/xyz/` are the same replacement, and no replacement leaves
/// `/` at least (Gateway API `HTTPPathModifier`). What follows a prefix that was matched by string is joined
/// as it is (Istio `rewrite.uri`). A rule without a prefix match leaves the path alone.
pub(crate) fn rewrite<'a>(rewrite: &'a PathRewrite, matched: Matched<'a>) -> Cow<'a, str> {
    let replacement = match rewrite {
        PathRewrite::Full(path) => return Cow::Borrowed(path),
        PathRewrite::Prefix(replacement) => replacement,
    };
    let Some(rest) = matched.prefix.and_then(|prefix| matched.path.get(prefix..)) else {
        return Cow::Borrowed(matched.path);
    };
    let by_segment = rest.is_empty() || rest.starts_with('/');
    let replacement =
        if by_segment { replacement.strip_suffix('/').unwrap_or(replacement) } else { replacement };
    match (replacement, rest) {
        ("", "") => Cow::Borrowed("/"),
        ("", rest) if by_segment => Cow::Borrowed(rest),
        (replacement, "") => Cow::Borrowed(replacement),
        (replacement, rest) => Cow::Owned([replacement, rest].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_replaced_by_segment() {
        // The table of Gateway API's ReplacePrefixMatch. Prefixes are held without a trailing slash.
        for (path, prefix, replacement, expected) in [
            ("/foo/bar", 4, "/xyz", "/xyz/bar"),
            ("/foo/bar", 4, "/xyz/", "/xyz/bar"),
            ("/foo", 4, "/xyz", "/xyz"),
            ("/foo/", 4, "/xyz", "/xyz/"),
            ("/foo/bar", 4, "", "/bar"),
            ("/foo/", 4, "", "/"),
            ("/foo", 4, "", "/"),
            ("/foo/", 4, "/", "/"),
            ("/foo", 4, "/", "/"),
            ("/foo/bar", 4, "/", "/bar"),
            ("/bar", 0, "/xyz", "/xyz/bar"),
            ("/", 0, "/xyz", "/xyz/"),
            // By string.
            ("/foobar", 4, "/x", "/xbar"),
            ("/foo/bar", 5, "/", "/bar"),
        ] {
            let replacement = PathRewrite::Prefix(replacement.into());
            let matched = Matched { path, prefix: Some(prefix) };
            assert_eq!(rewrite(&replacement, matched), expected, "{path} {prefix} {replacement:?}");
        }
    }

    #[test]
    fn the_whole_path_is_replaced() {
        let matched = Matched { path: "/foo/bar", prefix: None };
        assert_eq!(rewrite(&PathRewrite::Full("/x".into()), matched), "/x");
        assert_eq!(rewrite(&PathRewrite::Prefix("/x".into()), matched), "/foo/bar");
    }
}
