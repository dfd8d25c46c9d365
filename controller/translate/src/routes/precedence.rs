//! Which match wins: the order that Gateway API gives to matches.

use std::cmp::Reverse;

use model::{Match, PathMatch};

/// How specific a match is; the smallest is tried first.
///
/// HTTPRoute: exact path, longest prefix, method, number of headers, number of query parameters. GRPCRoute:
/// characters of the service, then of the method, number of headers; its paths are `/SERVICE/METHOD`, so that
/// one order serves both kinds on one listener. Age, name and place in the route come after this.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Rank {
    path: Path,
    length: Reverse<usize>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

/// The API leaves the rank of regular expressions open: they come before the catch-all `/`, which a rule
/// without a path stands for, and after everything that names a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Path {
    Exact,
    Prefix,
    Regex,
    Everything,
}

impl Rank {
    /// The rank of a match.
    pub fn of(when: &Match) -> Self {
        let (path, length) = match &when.path {
            Some(PathMatch::Exact(path)) => (Path::Exact, path.chars().count()),
            Some(PathMatch::SegmentPrefix(prefix)) if &**prefix == "/" => (Path::Everything, 1),
            Some(PathMatch::SegmentPrefix(prefix) | PathMatch::StringPrefix(prefix)) => {
                (Path::Prefix, prefix.chars().count())
            }
            Some(PathMatch::Regex(regex)) => (Path::Regex, regex.chars().count()),
            None => (Path::Everything, 1),
        };
        Self {
            path,
            length: Reverse(length),
            method: Reverse(when.method.is_some()),
            headers: Reverse(when.headers.len()),
            query: Reverse(when.query.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{HeaderMatch, QueryMatch, ValueMatch};

    use super::*;

    fn path(path: PathMatch) -> Match {
        Match { path: Some(path), ..Match::default() }
    }

    fn header(name: &str) -> HeaderMatch {
        HeaderMatch { name: name.into(), value: ValueMatch::Present }
    }

    #[test]
    fn matches_are_tried_in_the_order_of_the_api() {
        let prefix = path(PathMatch::SegmentPrefix("/a".into()));
        let query = QueryMatch { name: "q".into(), value: ValueMatch::Present };
        let in_order = [
            path(PathMatch::Exact("/a".into())),
            path(PathMatch::SegmentPrefix("/a/b".into())),
            Match { method: Some("GET".into()), ..prefix.clone() },
            Match { headers: vec![header("a"), header("b")], ..prefix.clone() },
            Match { headers: vec![header("a")], query: vec![query.clone()], ..prefix.clone() },
            Match { headers: vec![header("a")], ..prefix.clone() },
            Match { query: vec![query], ..prefix.clone() },
            prefix,
            path(PathMatch::Regex("/a.*".into())),
            Match { headers: vec![header("a")], ..Match::default() },
            Match::default(),
        ];
        for pair in in_order.windows(2) {
            let [first, second] = pair else { unreachable!("windows of two") };
            assert!(Rank::of(first) < Rank::of(second), "{first:?} before {second:?}");
        }
        let everything = path(PathMatch::SegmentPrefix("/".into()));
        assert_eq!(Rank::of(&everything), Rank::of(&Match::default()));
    }

    #[test]
    fn length_is_counted_in_characters() {
        let wide = path(PathMatch::SegmentPrefix("/éé".into()));
        let narrow = path(PathMatch::SegmentPrefix("/abc".into()));
        assert!(Rank::of(&narrow) < Rank::of(&wide));
    }
}
