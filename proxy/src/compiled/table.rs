//! Route tables: host, then path index, then the first match in the order of the IR.
//! Performance-critical path.

use std::sync::Arc;

use http::{HeaderMap, Method};
use model::RouteTable;

use super::hosts::HostTable;
use super::routes::HostRoutes;
use super::rule::CompiledRule;

/// What a match may look at. All of it canonical.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// Lower case, no port, no trailing dot; empty if the request has none.
    pub host: &'r str,
    /// The canonical path, without the query.
    pub path: &'r str,
    /// The query without `?`, as it came.
    pub query: Option<&'r str>,
    /// The method.
    pub method: &'r Method,
    /// The request's headers.
    pub headers: &'r HeaderMap,
}

/// The routes of one HTTP listener.
#[derive(Debug)]
pub struct CompiledTable {
    /// What it was compiled from.
    pub source: Arc<RouteTable>,
    /// Rules in the order of the source.
    pub rules: Box<[Arc<CompiledRule>]>,
    pub(crate) hosts: HostTable<Arc<HostRoutes>>,
}

/// The rule that a request goes to.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'t> {
    /// The rule.
    pub rule: &'t Arc<CompiledRule>,
    /// Bytes of the path that a prefix match matched: what `PathRewrite::Prefix` replaces. The rest of the path
    /// after a segment prefix is empty or begins with `/`, so the prefix `/` counts 0. None: the match was no
    /// prefix match.
    pub prefix: Option<usize>,
    /// Whether the match itself names path parameters (`;`), and so expects them.
    pub parameters: bool,
    /// The place of the match among those of its host pattern.
    pub(crate) order: u32,
}

impl CompiledTable {
    /// The first match of the most specific host pattern that has one.
    pub fn route<'t>(&'t self, facts: &Facts<'_>) -> Option<Routed<'t>> {
        self.hosts.matches(facts.host).find_map(|routes| routes.route(facts))
    }
}

#[cfg(test)]
mod tests;
