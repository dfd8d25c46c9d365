//! Builds route tables. A table, a rule or the matches of a host that did not change are shared.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use model::{
    HostPattern, Match, Origin, PathMatch, RouteMatch, RouteTable, RouteTableName, Rule, ValueMatch,
};

use super::patterns::Patterns;
use super::{Build, uses};
use crate::compiled::matches::{CompiledMatch, CompiledPath, CompiledValue};
use crate::compiled::routes::{Entry, HostRoutes};
use crate::compiled::{CompileError, CompiledRule, CompiledTable};

impl Build<'_> {
    pub(super) fn table(
        &self,
        name: &RouteTableName,
        source: &Arc<RouteTable>,
    ) -> Result<Arc<CompiledTable>, CompileError> {
        let earlier = self.previous.and_then(|previous| previous.tables.get(name));
        let same =
            earlier.filter(|earlier| Arc::ptr_eq(&earlier.source, source) || earlier.source == *source);
        if let Some(same) = same
            && self.kept(source.rules.iter().flat_map(uses::rule))
        {
            return Ok(Arc::clone(same));
        }
        let table = format!("route table {name}");
        let rules = self.rules(&table, source, earlier.map(Arc::as_ref))?;
        let mut patterns = Patterns::of(earlier.map(Arc::as_ref));
        let hosts = source
            .hosts
            .iter()
            .map(|(host, matches)| {
                let shared = earlier.and_then(|earlier| same_host(earlier, host, matches, &rules));
                let routes = match shared {
                    Some(routes) => routes,
                    None => Arc::new(host_routes(&table, matches, &rules, &mut patterns)?),
                };
                Ok((host.clone(), routes))
            })
            .collect::<Result<_, CompileError>>()?;
        Ok(Arc::new(CompiledTable { source: Arc::clone(source), rules, hosts }))
    }

    fn rules(
        &self,
        table: &str,
        source: &RouteTable,
        earlier: Option<&CompiledTable>,
    ) -> Result<Box<[Arc<CompiledRule>]>, CompileError> {
        let known: HashMap<(&Origin, usize), (&Rule, &Arc<CompiledRule>)> = earlier
            .into_iter()
            .flat_map(|earlier| earlier.source.rules.iter().zip(&earlier.rules))
            .map(|(rule, compiled)| ((&rule.origin, rule.index), (rule, compiled)))
            .collect();
        let rules = source.rules.iter().map(|rule| match known.get(&(&rule.origin, rule.index)) {
            Some((same, compiled)) if *same == rule && self.kept(uses::rule(rule)) => {
                Ok(Arc::clone(compiled))
            }
            _ => Ok(Arc::new(self.rule(table, rule)?)),
        });
        rules.collect()
    }
}

/// The routes of the host in the earlier table, if its matches say the same and lead to the same rules.
fn same_host(
    earlier: &CompiledTable,
    host: &HostPattern,
    matches: &[RouteMatch],
    rules: &[Arc<CompiledRule>],
) -> Option<Arc<HostRoutes>> {
    let source = earlier.source.hosts.get(host)?;
    let routes = earlier.hosts.get(host)?;
    let same = source.len() == matches.len()
        && source.iter().zip(matches).zip(routes.entries()).all(|((before, now), entry)| {
            before.when == now.when && rules.get(now.rule).is_some_and(|rule| Arc::ptr_eq(rule, &entry.rule))
        });
    same.then(|| Arc::clone(routes))
}

fn host_routes(
    table: &str,
    matches: &[RouteMatch],
    rules: &[Arc<CompiledRule>],
    patterns: &mut Patterns,
) -> Result<HostRoutes, CompileError> {
    let entries = matches.iter().map(|route_match| {
        let missing = || CompileError::new(table, format!("rule {} is not there", route_match.rule));
        let rule = rules.get(route_match.rule).ok_or_else(missing)?;
        let subject = || format!("{table}, {}", rule_subject(&rule.origin, rule.index));
        let when = compile_match(&route_match.when, patterns)
            .map_err(|reason| CompileError::new(subject(), reason))?;
        Ok(Entry { when, rule: Arc::clone(rule) })
    });
    Ok(HostRoutes::new(entries.collect::<Result<_, CompileError>>()?))
}

/// How errors name a rule.
pub(super) fn rule_subject(origin: &Origin, index: usize) -> String {
    format!("{origin} rule {index}")
}

fn compile_match(when: &Match, patterns: &mut Patterns) -> Result<CompiledMatch, String> {
    let parameters = match &when.path {
        Some(
            PathMatch::Exact(text)
            | PathMatch::SegmentPrefix(text)
            | PathMatch::StringPrefix(text)
            | PathMatch::Regex(text),
        ) => text.contains(';'),
        None => false,
    };
    let headers = when.headers.iter().map(|header| {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| format!("{:?} is not a header name", header.name))?;
        Ok((name, compile_value(&header.value, patterns)?))
    });
    let headers = headers.collect::<Result<_, String>>()?;
    let query =
        when.query.iter().map(|param| Ok((param.name.clone(), compile_value(&param.value, patterns)?)));
    let query = query.collect::<Result<_, String>>()?;
    let method = when.method.as_deref().map(compile_method).transpose()?;
    Ok(CompiledMatch {
        path: compile_path(when.path.as_ref(), patterns)?,
        method,
        headers,
        query,
        parameters,
    })
}

fn compile_path(path: Option<&PathMatch>, patterns: &mut Patterns) -> Result<CompiledPath, String> {
    Ok(match path {
        None => CompiledPath::Any,
        Some(PathMatch::Exact(whole)) => CompiledPath::Exact(whole.clone()),
        Some(PathMatch::SegmentPrefix(prefix)) => CompiledPath::Segment(prefix.trim_end_matches('/').into()),
        Some(PathMatch::StringPrefix(prefix)) => CompiledPath::String(prefix.clone()),
        Some(PathMatch::Regex(pattern)) => patterns.path(pattern)?,
    })
}

fn compile_value(value: &ValueMatch, patterns: &mut Patterns) -> Result<CompiledValue, String> {
    Ok(match value {
        ValueMatch::Exact(text) => CompiledValue::Exact(text.clone()),
        ValueMatch::Prefix(text) => CompiledValue::Prefix(text.clone()),
        ValueMatch::Regex(pattern) => CompiledValue::Regex(patterns.compile(pattern)?),
        ValueMatch::Present => CompiledValue::Present,
    })
}

fn compile_method(method: &str) -> Result<Method, String> {
    Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is not a method"))
}
