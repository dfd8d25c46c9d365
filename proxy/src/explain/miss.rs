//! The matches that came nearest to a request that has no route.

use std::cmp::Reverse;

use model::{HeaderMatch, HostPattern, Match, Origin, PathMatch, QueryMatch, ValueMatch};
use serde::Serialize;

use crate::compiled::{CompiledTable, Facts, Unmet};

/// A match, and what kept it from matching.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Miss {
    /// The route that wrote it.
    pub origin: Origin,
    /// The rule's place in it, from 0.
    pub rule: usize,
    /// The host pattern, which matched.
    pub host: HostPattern,
    /// The first condition that does not hold, and what the request has instead.
    pub unmet: String,
}

/// So many misses are told.
const SHOWN: usize = 3;

/// How near a match came: conditions are checked path, method, headers, query, so a later one is nearer; among
/// paths the one that shares most with the request's is.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Nearness(u8, usize);

/// The nearest misses, the nearest first; none if no host pattern matches.
pub(super) fn nearest(table: &CompiledTable, facts: &Facts<'_>) -> Vec<Miss> {
    let mut misses = Vec::new();
    for (host, matches) in table.source.hosts.iter().filter(|(host, _)| host.matches(facts.host)) {
        let Some(routes) = table.hosts.get(host) else { continue };
        for (entry, written) in routes.entries().iter().zip(matches) {
            let Err(unmet) = entry.when.check(facts) else { continue };
            misses.push((nearness(&written.when, unmet, facts), host, written, unmet));
        }
    }
    // Stable, so that equals stay in order of precedence.
    misses.sort_by_key(|(nearness, ..)| Reverse(*nearness));
    let rule = |index: usize| table.source.rules.get(index);
    misses
        .into_iter()
        .take(SHOWN)
        .filter_map(|(_, host, written, unmet)| {
            let rule = rule(written.rule)?;
            let unmet = describe(&written.when, unmet, facts);
            Some(Miss { origin: rule.origin.clone(), rule: rule.index, host: host.clone(), unmet })
        })
        .collect()
}

fn nearness(when: &Match, unmet: Unmet, facts: &Facts<'_>) -> Nearness {
    match unmet {
        Unmet::Path => Nearness(0, common_path(when, facts.path)),
        Unmet::Method => Nearness(1, 0),
        Unmet::Header(index) => Nearness(2, index),
        Unmet::Query(index) => Nearness(3, index),
    }
}

fn common_path(when: &Match, path: &str) -> usize {
    match &when.path {
        Some(PathMatch::Exact(text) | PathMatch::SegmentPrefix(text) | PathMatch::StringPrefix(text)) => {
            text.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count()
        }
        Some(PathMatch::Regex(_)) | None => 0,
    }
}

fn describe(when: &Match, unmet: Unmet, facts: &Facts<'_>) -> String {
    match unmet {
        Unmet::Path => {
            let wanted = match &when.path {
                Some(PathMatch::Exact(text)) => format!("is {text:?}"),
                Some(PathMatch::SegmentPrefix(text)) => format!("is or is below {text:?}"),
                Some(PathMatch::StringPrefix(text)) => format!("begins with {text:?}"),
                Some(PathMatch::Regex(text)) => format!("matches the expression {text:?}"),
                None => "is any".to_owned(),
            };
            format!("wants a path that {wanted}")
        }
        Unmet::Method => {
            format!("wants method {}, not {}", when.method.as_deref().unwrap_or_default(), facts.method)
        }
        Unmet::Header(index) => {
            when.headers.get(index).map(|header| header_miss(header, facts)).unwrap_or_default()
        }
        Unmet::Query(index) => {
            when.query.get(index).map(|query| query_miss(query, facts)).unwrap_or_default()
        }
    }
}

fn header_miss(header: &HeaderMatch, facts: &Facts<'_>) -> String {
    let fields: Vec<_> = facts.headers.get_all(&*header.name).iter().map(|value| value.as_bytes()).collect();
    let has = match fields.as_slice() {
        [] => "is absent".to_owned(),
        fields => format!("is {:?}", String::from_utf8_lossy(&fields.join(&b','))),
    };
    format!("wants a header {} that {}; it {has}", header.name, wanted(&header.value))
}

fn query_miss(query: &QueryMatch, facts: &Facts<'_>) -> String {
    let text = facts
        .query
        .map_or_else(|| "the request has no query".to_owned(), |query| format!("the query is {query:?}"));
    format!("wants a query parameter {} that {}; {text}", query.name, wanted(&query.value))
}

fn wanted(value: &ValueMatch) -> String {
    match value {
        ValueMatch::Exact(text) => format!("is {text:?}"),
        ValueMatch::Prefix(text) => format!("begins with {text:?}"),
        ValueMatch::Regex(text) => format!("matches the expression {text:?}"),
        ValueMatch::Present => "is there".to_owned(),
    }
}
