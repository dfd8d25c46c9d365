//! BackendTLSPolicy: which one acts on a port of a Service, and what each says about the Gateway that asks.

use std::sync::Arc;

use api::gateway_api::BackendTlsPolicy;
use api::{Object, ObjectKey};
use model::UpstreamTls;

use super::{condition, tls};
use crate::context::Context;
use crate::grants::Referrer;
use crate::policy::age;
use crate::problem::{Problem, Severity};
use crate::routes::Scope;
use crate::status::Verdict;

/// A policy that has been looked at.
pub(super) struct Checked {
    validation: tls::Checked,
    conflict: Verdict,
}

/// TLS to a port of a Service as the policies that target it say: one for the port's name before one for the whole
/// Service, the oldest of several. Each of them gets its say about the Gateway that asks.
pub(super) fn of(
    context: &mut Context<'_>,
    scope: &Scope<'_>,
    service: &ObjectKey,
    port: &str,
) -> UpstreamTls {
    let policies = context.index.backend_tls_policies(service);
    for policy in policies {
        let checked = look_at(context, policy);
        let mut accepted = checked.conflict.clone().and(checked.validation.accepted.clone());
        if accepted.is_yes() {
            accepted = missing_section(context, policy);
        }
        let resolved = &checked.validation.resolved;
        context.ancestors.note(&policy.key(), &scope.gateway.key(), || {
            vec![
                condition(&policy.metadata, "Accepted", &accepted, ("Accepted", "The policy is in force")),
                condition(
                    &policy.metadata,
                    "ResolvedRefs",
                    resolved,
                    ("ResolvedRefs", "All references are resolved"),
                ),
            ]
        });
    }
    asked_for(context, scope, service, port)
}

/// The same without a say of the policies.
pub(super) fn asked_for(
    context: &mut Context<'_>,
    scope: &Scope<'_>,
    service: &ObjectKey,
    port: &str,
) -> UpstreamTls {
    let policies = context.index.backend_tls_policies(service);
    let named = (!port.is_empty()).then(|| oldest(policies, service, Some(port))).flatten();
    let winner = named.or_else(|| oldest(policies, service, None));
    match winner {
        Some(policy) => look_at(context, policy).validation.tls(scope.client_certificate),
        None => UpstreamTls::Plain,
    }
}

fn oldest<'p>(
    policies: &[&'p BackendTlsPolicy],
    target: &ObjectKey,
    section: Option<&str>,
) -> Option<&'p BackendTlsPolicy> {
    let same = |policy: &&&BackendTlsPolicy| targets(policy, target).any(|own| own == section);
    policies.iter().filter(same).min_by_key(|policy| age(&policy.metadata)).copied()
}

/// The sections of `target` that a policy acts on.
fn targets<'p>(policy: &'p BackendTlsPolicy, target: &ObjectKey) -> impl Iterator<Item = Option<&'p str>> {
    let same = |own: &&api::gateway_api::PolicyTargetReference| {
        own.group == target.group && own.kind == target.kind && own.name == target.name
    };
    policy.spec.target_refs.iter().filter(same).map(|own| own.section_name.as_deref())
}

fn look_at(context: &mut Context<'_>, policy: &BackendTlsPolicy) -> Arc<Checked> {
    let key = policy.key();
    if let Some(known) = context.backends.tls_policies.get(&key) {
        return known.clone();
    }
    let validation = tls::check(context, &policy.spec.validation, Referrer::of(policy), "spec.validation");
    let checked = Arc::new(Checked { conflict: conflict(context, policy), validation });
    context.report_verdict(&key, "Accepted", &checked.conflict);
    context.report_verdict(&key, "Accepted", &checked.validation.accepted);
    context.report_verdict(&key, "ResolvedRefs", &checked.validation.resolved);
    for option in policy.spec.options.keys() {
        context.problems.push(Problem {
            object: key.clone(),
            field: format!("spec.options[{option:?}]"),
            condition: "",
            reason: "",
            message: "no such option is served".to_owned(),
            mend: "remove it".to_owned(),
            severity: Severity::Error,
        });
    }
    context.backends.tls_policies.insert(key, checked.clone());
    checked
}

/// Whether an older policy acts on one of the same targets.
fn conflict(context: &Context<'_>, policy: &BackendTlsPolicy) -> Verdict {
    for target in &policy.spec.target_refs {
        let key = ObjectKey::new(&*target.group, &*target.kind, policy.namespace(), &*target.name);
        let section = target.section_name.as_deref();
        let winner = oldest(context.index.backend_tls_policies(&key), &key, section);
        if let Some(winner) = winner.filter(|winner| winner.key() != policy.key()) {
            let message = format!("{} is older and targets {key}, too", winner.key());
            return Verdict::no("Conflicted", message);
        }
    }
    Verdict::Yes
}

/// A `sectionName` must be the name of a port of the Service.
fn missing_section(context: &Context<'_>, policy: &BackendTlsPolicy) -> Verdict {
    for target in &policy.spec.target_refs {
        let Some(section) = &target.section_name else { continue };
        let service = context.index.find::<api::core::Service>(policy.namespace(), &target.name);
        let mut ports =
            service.iter().flat_map(|service| &service.spec).flat_map(|spec| spec.ports.iter().flatten());
        if !ports.any(|port| port.name.as_deref() == Some(section)) {
            let message =
                format!("Service {}/{} has no port of the name {section}", policy.namespace(), target.name);
            return Verdict::no("TargetNotFound", message);
        }
    }
    Verdict::Yes
}
