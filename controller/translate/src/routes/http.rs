//! HTTPRoute.

use api::gateway_api::{
    BackendObjectReference, HttpBackendRef, HttpRoute, HttpRouteMatch, HttpRouteRule, PathMatchType,
};
use model::{Action, Forward, Timeouts, WeightedBackend};

use super::filters::{self, Compiled, Level, Wanted};
use super::rules::{Act, Draft, Own, assemble};
use super::{Fault, RouteOutcome, Site, matches, session, timeouts};
use crate::backends::Wire;

/// Compiles an HTTPRoute.
pub(super) fn compile(route: &HttpRoute, site: &mut Site<'_, '_>) -> RouteOutcome {
    let drafts = route.spec.rules.iter().enumerate().map(|(index, rule)| {
        let field = format!("spec.rules[{index}]");
        Draft {
            name: rule.name.as_deref(),
            matches: matches::http(&rule.matches, &field),
            act: act(rule, index, &field, site),
        }
    });
    let drafts = drafts.collect();
    assemble(drafts, 500, site)
}

fn act(rule: &HttpRouteRule, index: usize, field: &str, site: &mut Site<'_, '_>) -> Result<Act, Fault> {
    // Every reference is looked at, also where the rule turns out to be invalid: all of them are to be reported.
    let level = Level::Rule { replaces_prefix: is_one_prefix(&rule.matches) };
    let wanted: Vec<_> = rule.filters.iter().map(Wanted::from).collect();
    let compiled = filters::compile(&wanted, level, Wire::Http, &format!("{field}.filters"), site);
    let backends: Vec<_> = rule
        .backend_refs
        .iter()
        .enumerate()
        .map(|(index, reference)| backend(reference, rule, &format!("{field}.backendRefs[{index}]"), site))
        .collect();
    let Compiled { filters, redirect } = compiled?;
    let backends: Vec<WeightedBackend> = backends.into_iter().collect::<Result<_, _>>()?;
    let session = rule.session_persistence.as_ref().map(|wanted| {
        session::persistence(wanted, &site.origin, &index.to_string(), &format!("{field}.sessionPersistence"))
    });
    let session = session.transpose()?;
    let limits = rule.timeouts.as_ref().map(|wanted| timeouts::timeouts(wanted, field)).transpose()?;
    let retry = rule.retry.as_ref().map(|wanted| timeouts::retry(wanted, field)).transpose()?;
    let action = match redirect {
        Some(_) if !backends.is_empty() => {
            let message = "a rule with a RequestRedirect sends nothing to backends";
            let fault = Fault::incompatible(format!("{field}.backendRefs"), message);
            return Err(fault.mend("remove backendRefs, or the filter"));
        }
        Some(redirect) => Action::Redirect(redirect),
        None => Action::Forward(Forward {
            backends,
            timeouts: limits.unwrap_or_else(Timeouts::default),
            retry,
            session,
        }),
    };
    let own = Own {
        request_timeout: rule.timeouts.as_ref().is_some_and(|own| own.request.is_some()),
        try_timeout: rule.timeouts.as_ref().is_some_and(|own| own.backend_request.is_some()),
        backoff: rule.retry.as_ref().is_some_and(|own| own.backoff.is_some()),
    };
    Ok(Act { filters, action, own })
}

fn backend(
    reference: &HttpBackendRef,
    rule: &HttpRouteRule,
    field: &str,
    site: &mut Site<'_, '_>,
) -> Result<WeightedBackend, Fault> {
    let backend = site.backend(&BackendObjectReference::from(reference), Wire::Http, field);
    let level = Level::Backend { replaces_prefix: is_one_prefix(&rule.matches) };
    let wanted: Vec<_> = reference.filters.iter().map(Wanted::from).collect();
    let compiled = filters::compile(&wanted, level, Wire::Http, &format!("{field}.filters"), site)?;
    Ok(WeightedBackend { weight: reference.weight, backend, filters: compiled.filters })
}

/// `ReplacePrefixMatch` needs to know the prefix: the rule must have one match, by prefix.
fn is_one_prefix(matches: &[HttpRouteMatch]) -> bool {
    match matches {
        [] => true,
        [only] => only.path.type_ == PathMatchType::PathPrefix,
        _ => false,
    }
}
