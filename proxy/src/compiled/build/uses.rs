//! The backends that a part of the snapshot refers to.

use model::{Action, BackendName, BackendRef, Filter, Rule, WeightedBackend};

/// Backends of a rule, its filters included.
pub(super) fn rule(rule: &Rule) -> impl Iterator<Item = &BackendName> {
    let forward = match &rule.action {
        Action::Forward(forward) => forward.backends.as_slice(),
        Action::Redirect(_) | Action::Respond { .. } => &[],
    };
    filters(&rule.filters).chain(weighted(forward))
}

/// Backends of a weighted list, their filters included.
pub(super) fn weighted(backends: &[WeightedBackend]) -> impl Iterator<Item = &BackendName> {
    backends.iter().flat_map(|weighted| name(&weighted.backend).into_iter().chain(filters(&weighted.filters)))
}

/// Backends of filters.
pub(super) fn filters(filters: &[Filter]) -> impl Iterator<Item = &BackendName> {
    filters.iter().filter_map(|filter| match filter {
        Filter::Mirror(mirror) => name(&mirror.backend),
        Filter::ExternalAuth(auth) => name(&auth.backend),
        Filter::RequestHeaders(_)
        | Filter::ResponseHeaders(_)
        | Filter::Rewrite(_)
        | Filter::Cors(_)
        | Filter::Buffer(_)
        | Filter::Closed { .. } => None,
    })
}

fn name(backend: &BackendRef) -> Option<&BackendName> {
    match backend {
        BackendRef::Name(name) => Some(name),
        BackendRef::Invalid { .. } => None,
    }
}
