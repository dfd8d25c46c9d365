//! GRPCRoute.

use api::gateway_api::{BackendObjectReference, GrpcBackendRef, GrpcRoute, GrpcRouteRule};
use model::{Action, Forward, WeightedBackend};

use super::filters::{self, Compiled, Level, Wanted};
use super::rules::{Act, Draft, Own, assemble};
use super::{Fault, RouteOutcome, Site, matches, session};
use crate::backends::Wire;

/// Compiles a GRPCRoute.
pub(super) fn compile(route: &GrpcRoute, site: &mut Site<'_, '_>) -> RouteOutcome {
    let mut drafts = Vec::new();
    for (index, rule) in route.spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        drafts.push(Draft {
            name: rule.name.as_deref(),
            matches: matches::grpc(&rule.matches, &field),
            act: act(rule, index, &field, site),
        });
    }
    // GRPCRouteRule `backendRefs`: UNAVAILABLE, which HTTP calls 503.
    assemble(drafts, 503, site)
}

fn act(rule: &GrpcRouteRule, index: usize, field: &str, site: &mut Site<'_, '_>) -> Result<Act, Fault> {
    let level = Level::Rule { replaces_prefix: false };
    let wanted: Vec<_> = rule.filters.iter().map(Wanted::from).collect();
    let compiled = filters::compile(&wanted, level, Wire::Grpc, &format!("{field}.filters"), site);
    let mut backends = Vec::new();
    for (index, reference) in rule.backend_refs.iter().enumerate() {
        backends.push(backend(reference, &format!("{field}.backendRefs[{index}]"), site));
    }
    let Compiled { filters, redirect: _ } = compiled?;
    let backends: Vec<WeightedBackend> = backends.into_iter().collect::<Result<_, _>>()?;
    let session = rule.session_persistence.as_ref().map(|wanted| {
        session::persistence(wanted, &site.origin, &index.to_string(), &format!("{field}.sessionPersistence"))
    });
    let session = session.transpose()?;
    let action = if backends.iter().all(|backend| backend.weight == 0) {
        Action::Respond { status: 503, body: "no backend".into() }
    } else {
        Action::Forward(Forward { backends, session, ..Forward::default() })
    };
    Ok(Act { filters, action, own: Own::default() })
}

fn backend(
    reference: &GrpcBackendRef,
    field: &str,
    site: &mut Site<'_, '_>,
) -> Result<WeightedBackend, Fault> {
    let backend = site.backend(&BackendObjectReference::from(reference), Wire::Grpc, field);
    let wanted: Vec<_> = reference.filters.iter().map(Wanted::from).collect();
    let level = Level::Backend { replaces_prefix: false };
    let compiled = filters::compile(&wanted, level, Wire::Grpc, &format!("{field}.filters"), site)?;
    Ok(WeightedBackend { weight: reference.weight, backend, filters: compiled.filters })
}
