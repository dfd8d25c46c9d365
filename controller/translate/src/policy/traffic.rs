//! TrafficPolicy: what it adds to a rule of a route.

mod edits;
mod resilience;

use std::sync::Arc;

use api::Object;
use api::gateway_api::{self, BackendObjectReference, ForwardBodyConfig, GrpcAuthConfig, HttpAuthConfig};
use api::own::{Authentication, ExternalAuth, ExternalAuthProtocol, TrafficPolicy};
use model::{Action, Buffer, Cors, Filter, Rule};

use super::{Level, Levels, Picked};
use crate::context::Context;
use crate::routes::filters::{cors, external_auth};
use crate::routes::{Fault, Own, Site, origin};
use crate::status::Verdict;

use edits::Edits;

/// The parts of a policy that are read once and may be wrong.
pub(super) struct Parts {
    /// Condition `Accepted`, as far as the policy alone decides. A part that is wrong is not in force.
    pub(super) verdict: Verdict,
    request: Edits,
    response: Edits,
    cors: Option<Cors>,
}

impl Parts {
    /// Reads a policy.
    pub(super) fn of(policy: &TrafficPolicy) -> Self {
        let mut verdict = Verdict::Yes;
        let mut keep = |fault: Fault| verdict.fail("Invalid", fault.to_string());
        let headers = policy.spec.headers.clone().unwrap_or_default();
        let request = Edits::of(headers.request.as_ref(), "spec.headers.request").map_err(&mut keep);
        let response = Edits::of(headers.response.as_ref(), "spec.headers.response").map_err(&mut keep);
        let cors = policy.spec.cors.as_ref().map(|wanted| cors::of_policy(wanted, "spec.cors"));
        let cors = cors.and_then(|cors| cors.map_err(&mut keep).ok());
        Self { request: request.unwrap_or_default(), response: response.unwrap_or_default(), cors, verdict }
    }

    fn edits(&self, response: bool) -> &Edits {
        if response { &self.response } else { &self.request }
    }
}

/// The policies that act on a rule, from wide to narrow: Gateway, ListenerSet, listener, route, rule.
fn levels<'a>(context: &Context<'a>, site: &Site<'_, '_>, rule: Option<&str>) -> Levels<'a, TrafficPolicy> {
    let scope = site.scope;
    if context.policies.traffic.is_empty() {
        return context.policies.traffic.at([]);
    }
    let gateway = scope.gateway.key();
    let mut levels = Level::whole(&gateway).to_vec();
    if *scope.owner != gateway {
        levels.extend(Level::whole(scope.owner));
    }
    levels.push(Level::section(scope.owner, scope.section));
    levels.extend(Level::whole(site.key));
    levels.extend(rule.map(|rule| Level::section(site.key, rule)));
    context.policies.traffic.at(levels)
}

/// Adds to a rule what policies say about it. `own` is what the route itself says, which is narrower than any
/// policy and gives way to enforced ones alone.
pub(crate) fn apply(rule: &mut Rule, own: &Own, site: &mut Site<'_, '_>) {
    let levels = levels(site.context, site, rule.name.as_deref());
    if let Action::Forward(forward) = &mut rule.action {
        resilience::apply(&levels, forward, own, &mut rule.set_by);
    }
    if levels.is_empty() {
        return;
    }
    apply_authentication(&levels, rule, site);
    apply_buffer(&levels, rule);
    apply_cors(&levels, rule, site);
    for response in [false, true] {
        edits::apply(&levels, rule, response, |policy| parts(site, policy));
    }
}

fn parts(site: &Site<'_, '_>, policy: &TrafficPolicy) -> Option<Arc<Parts>> {
    site.context.policies.parts.get(&policy.key()).cloned()
}

/// Only for requests that have passed authentication.
fn apply_buffer(levels: &Levels<'_, TrafficPolicy>, rule: &mut Rule) {
    let Some(buffer) = levels.pick(|policy| policy.spec.buffer.as_ref()) else { return };
    let max_bytes = buffer.value.max.map_or(DEFAULT_BUFFER, api::own::Quantity::bytes);
    let asks = |filter: &Filter| matches!(filter, Filter::ExternalAuth(_) | Filter::Closed { .. });
    let position = rule.filters.iter().rposition(asks).map_or(0, |position| position + 1);
    rule.filters.insert(position, Filter::Buffer(Buffer { max_bytes }));
    set_by(rule, "buffer.max", &buffer);
}

fn apply_authentication(levels: &Levels<'_, TrafficPolicy>, rule: &mut Rule, site: &mut Site<'_, '_>) {
    let external = |policy: &'_ TrafficPolicy| -> Option<ExternalAuth> {
        policy.spec.authentication.as_ref().and_then(|Authentication { external }| external.clone())
    };
    let Some(picked) = levels.pick(external) else { return };
    let is_own = |filter: &Filter| matches!(filter, Filter::ExternalAuth(_));
    if rule.filters.iter().any(is_own) && !picked.enforced {
        return;
    }
    rule.filters.retain(|filter| !is_own(filter));
    let filter = ask(&picked, site);
    put_first(rule, filter);
    set_by(rule, "authentication.external", &picked);
}

/// The filter that asks; closed if it is not known whom.
fn ask(picked: &Picked<'_, TrafficPolicy, ExternalAuth>, site: &mut Site<'_, '_>) -> Filter {
    let key = picked.by.key();
    let mut own_site = Site::new(&key, site.scope, site.context);
    let wanted = &picked.value;
    let field = "spec.authentication.external";
    let filter = external_auth(&as_filter(wanted), field, &mut own_site).unwrap_or_else(|fault| {
        let reason = own_site.unresolved(fault);
        Filter::Closed { reason, status: 500 }
    });
    let resolved = own_site.resolved_refs();
    let known = site.context.policies.resolved.entry(key).or_default();
    *known = std::mem::take(known).and(resolved);
    match filter {
        Filter::ExternalAuth(auth) => Filter::ExternalAuth(model::ExternalAuth {
            timeout: wanted.timeout.map_or(auth.timeout, Into::into),
            fail_open: wanted.fail_open.unwrap_or(false),
            ..auth
        }),
        closed => closed,
    }
}

/// The same in the words of HTTPRoute's filter.
fn as_filter(wanted: &ExternalAuth) -> gateway_api::ExternalAuthFilter {
    let max_size = wanted.forward_body.as_ref().map(|body| body.max_size.bytes());
    let reference = &wanted.backend_ref;
    gateway_api::ExternalAuthFilter {
        backend_ref: BackendObjectReference {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            namespace: reference.namespace.clone(),
            port: reference.port,
        },
        forward_body: max_size
            .map(|bytes| ForwardBodyConfig { max_size: Some(u32::try_from(bytes).unwrap_or(u32::MAX)) }),
        grpc: wanted.grpc.clone().map(|grpc| GrpcAuthConfig { allowed_headers: grpc.allowed_headers }),
        http: wanted.http.clone().map(|http| HttpAuthConfig {
            allowed_headers: http.allowed_headers,
            allowed_response_headers: http.allowed_response_headers,
            path: http.path,
        }),
        protocol: match wanted.protocol {
            ExternalAuthProtocol::Grpc => gateway_api::ExternalAuthProtocol::Grpc,
            ExternalAuthProtocol::Http => gateway_api::ExternalAuthProtocol::Http,
        },
    }
}

/// First of all: a preflight carries no credentials.
fn apply_cors(levels: &Levels<'_, TrafficPolicy>, rule: &mut Rule, site: &Site<'_, '_>) {
    let Some(picked) = levels.pick(|policy| parts(site, policy)?.cors.clone()) else {
        // The route's own filter likewise goes before what policies have put in front of it.
        if let Some(position) = rule.filters.iter().position(|filter| matches!(filter, Filter::Cors(_))) {
            let own = rule.filters.remove(position);
            put_first(rule, own);
        }
        return;
    };
    let own = rule.filters.iter().position(|filter| matches!(filter, Filter::Cors(_)));
    match own.map(|position| rule.filters.remove(position)) {
        Some(own) if !picked.enforced => put_first(rule, own),
        _ => {
            put_first(rule, Filter::Cors(picked.value.clone()));
            set_by(rule, "cors", &picked);
        }
    }
}

fn put_first(rule: &mut Rule, filter: Filter) {
    rule.filters.insert(0, filter);
}

fn set_by<T>(rule: &mut Rule, field: &str, picked: &Picked<'_, TrafficPolicy, T>) {
    rule.set_by.insert(field.into(), origin(&picked.by.key()));
}

/// Longest body that is held where a policy asks for it and says no size.
const DEFAULT_BUFFER: u64 = 1 << 20;
